"""The files of a card: variants, roles, lists of sums, and files that a person has somewhere else."""

from hashlib import sha256

import numpy as np
import pytest

from workbench.data import available, load, read
from workbench.data.card import DataCard
from workbench.data.inspection.check import check
from workbench.errors import ConfigError, DataError, MissingDataError

CARD = """---
name: own
title: own data
task: {kind: multilabel, classes: [good, long, sad], headline: map}
modalities:
  audio: {kind: vector, size: 4, description: numbers}
splits: {train: 12, valid: null}
format: npz
licence: mine
citation: me
obtain: "Ask me at the coffee machine and put the files into own/."
sources:
  - {path: own/train.npz, published_sha256: [HEX]}
  - {path: own/valid.npz}
---
Made by a test.
"""


def write(tmp_path, change=("", ""), *, digest="0" * 8):
    rng = np.random.default_rng(0)
    (tmp_path / "own").mkdir(exist_ok=True)
    for split, n in (("train", 12), ("valid", 6)):
        np.savez(tmp_path / "own" / f"{split}.npz", audio=rng.normal(size=(n, 4)), target=rng.integers(0, 2, (n, 3)))
    path = tmp_path / "own.md"
    path.write_text(CARD.replace("HEX", f'"{digest}"').replace(*change))
    return path


def test_a_multilabel_card_with_its_headline(tmp_path):
    data = load(str(write(tmp_path)))
    assert (data.spec.task.kind, data.spec.task.classes, data.spec.task.headline) == ("multilabel", ("good", "long", "sad"), "map")
    assert data.spec.task.outputs == 3
    assert data["train"].target.shape == (12, 3)


def test_labels_that_are_not_yes_or_no_are_refused(tmp_path):
    path = write(tmp_path)
    np.savez(tmp_path / "own" / "train.npz", audio=np.ones((12, 4)), target=np.full((12, 3), 0.5))
    with pytest.raises(DataError, match="0 or 1|0 and 1"):
        load(str(path))
    np.savez(tmp_path / "own" / "train.npz", audio=np.ones((12, 4)), target=np.ones((12, 2)))
    with pytest.raises(DataError, match=r"target has the shape \[12, 2\]"):
        load(str(path))


def test_a_missing_file_says_how_to_get_it(tmp_path):
    path = write(tmp_path)
    (tmp_path / "own" / "valid.npz").unlink()
    assert not available(str(path))
    with pytest.raises(MissingDataError, match=r"1 of 2 files(.|\n)*valid.npz(.|\n)*Ask me at the coffee machine"):
        load(str(path))


def test_a_published_sum_is_said_and_never_an_error(tmp_path):
    path = write(tmp_path)
    data, _ = read(str(path))
    assert data.notes["reading"] == ["own/train.npz is another copy than the published file: its sha256 differs"]
    known = sha256((tmp_path / "own" / "train.npz").read_bytes()).hexdigest()[:10]
    path.write_text(CARD.replace("HEX", f'"{known}"'))
    assert read(str(path))[0].notes["reading"] == ["own/train.npz is the published file"]
    assert "own/train.npz is the published file" in check(str(path)).text()


VARIANTS = (
    """obtain: "Ask me at the coffee machine and put the files into own/."
sources:
  - {path: own/train.npz, published_sha256: ["00000000"]}
  - {path: own/valid.npz}
""",
    """variants: [loud, quiet]
sources:
  - {path: loud.pkl, variant: loud, role: features}
  - {path: quiet.pkl, variant: quiet, role: features}
  - {path: labels.csv, role: labels}
""",
)


def test_variants_have_their_own_files(tmp_path):
    card = DataCard.load(write(tmp_path, VARIANTS, digest="00000000"))
    assert [source.path for source in card.files()] == ["loud.pkl", "labels.csv"]
    assert [source.path for source in card.files("quiet")] == ["quiet.pkl", "labels.csv"]
    assert card.file(tmp_path, "features", variant="quiet") == tmp_path / "quiet.pkl"
    assert card.file(tmp_path, "labels") == tmp_path / "labels.csv"
    with pytest.raises(DataError, match=r"no source has the role video(.|\n)*role: video"):
        card.file(tmp_path, "video")
    with pytest.raises(ConfigError, match=r'unknown variant "quite"\. Did you mean quiet'):
        card.variant("quite")
    with pytest.raises(ConfigError, match=r"path= replaces the one file of a card; own has 2"):
        card.at(tmp_path / "x.pkl", "quiet")


def test_a_variant_that_is_not_there_is_refused(tmp_path):
    broken = (VARIANTS[0], VARIANTS[1].replace("variant: quiet", "variant: quite"))
    with pytest.raises(DataError, match="a source names the variant quite"):
        DataCard.load(write(tmp_path, broken, digest="00000000"))


def test_one_file_may_lie_anywhere(tmp_path):
    one = (VARIANTS[0], "sources: [{path: own/all.npz}]\n")
    card = DataCard.load(write(tmp_path, one, digest="00000000"))
    moved = card.at(tmp_path / "elsewhere" / "mine.npz")
    assert [source.path for source in moved.sources] == ["mine.npz"]
    assert (moved.sha256, moved.prose) == (card.sha256, card.prose)


def test_a_list_of_sums_becomes_sources(tmp_path):
    listed = (VARIANTS[0], "source_list: {file: sums.txt, url: 'https://example.org/files/'}\n")
    path = write(tmp_path, listed, digest="00000000")
    (tmp_path / "sums.txt").write_text("".join(f"{digit * 64}  wav/{digit}.wav\n" for digit in "0123"))
    found = DataCard.load(path).sources
    assert [source.path for source in found] == [f"wav/{digit}.wav" for digit in "0123"]
    assert found[2].url == "https://example.org/files/2.wav"
    assert found[2].sha256 == "2" * 64
    (tmp_path / "sums.txt").write_text("0000 ../../etc/passwd\n")
    with pytest.raises(DataError, match=r"this line is no sum and path(.|\n)*sums.txt line 1"):
        DataCard.load(path)
    (tmp_path / "sums.txt").unlink()
    with pytest.raises(DataError, match=r"the list of files sums.txt cannot be read"):
        DataCard.load(path)
