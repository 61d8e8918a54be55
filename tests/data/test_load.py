import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pytest

from workbench.data import available, load, read
from workbench.data.inspection.check import check
from workbench.errors import ConfigError, DataError, MissingDataError

CARD = """---
name: mine
title: Mine
task: {kind: multiclass, classes: [sad, happy]}
modalities:
  text: {kind: tokens, size: null, description: words}
  audio: {kind: sequence, size: 2, rate: 20, standardise: true, description: frames}
splits: {train: 4, valid: 2}
format: npz
sources: [{path: train.npz}, {path: valid.npz}]
licence: none
citation: none
traps: [made up]
---
Made for a test.
"""


def arrays(n: int) -> dict[str, np.ndarray]:
    audio = np.arange(n * 6, dtype=np.float32).reshape(n, 3, 2)
    return {
        "target": np.array(["sad", "happy"] * (n // 2)),
        "audio": audio,
        "audio_lengths": np.array([1, 3] * (n // 2)),
        "text": np.array(["a b", "c"] * (n // 2)),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "mine.md").write_text(CARD)
    np.savez(tmp_path / "train.npz", **arrays(4))
    np.savez(tmp_path / "valid.npz", **arrays(2))
    return tmp_path / "mine.md"


def test_own_card_by_path(path):
    data = load(str(path))
    assert data.modalities == ("text", "audio")  # The card's order, not the file's.
    assert data["train"].target.tolist() == [0, 1, 0, 1]
    assert data["train"].columns["audio"].lengths.tolist() == [1, 3, 1, 3]
    assert data.spec.modalities["audio"].rate == 20
    assert data["train"].texts == ["a b", "c", "a b", "c"]
    assert data["train"].columns["audio"].values.mean(0).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert read(str(path))[0]["train"].columns["audio"][1].tolist() == [[6, 7], [8, 9], [10, 11]]  # On disk, not standardised.
    assert data.notes["card"] == "mine"
    assert data.notes["traps"] == ["made up"]
    assert data.notes["standardised"] == ["audio"]
    assert len(data.notes["card_sha256"]) == len(data.notes["files"]["train.npz"]) == 64
    assert check(str(path)).facts[0] == "split train: 4 samples"


def test_own_card_by_folder(path, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CARDS", str(tmp_path))
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    assert available("mine")
    assert len(load("mine")["valid"]) == 2
    (tmp_path / "valid.npz").unlink()
    assert not available("mine")
    with pytest.raises(MissingDataError, match=r"1 of 2 files are not on this machine(.|\n)*valid.npz(.|\n)*put the file there"):
        load("mine")


def test_split_without_source_and_unknown_format(path):
    path.write_text(CARD.replace(", {path: valid.npz}", ""))
    with pytest.raises(DataError, match=r"no file for the split valid(.|\n)*line 10"):
        load(str(path))
    path.write_text(CARD.replace("format: npz", "format: npx"))
    with pytest.raises(ConfigError, match=r'unknown format "npx". Did you mean npz(.|\n)*line 9'):
        load(str(path))


def test_card_counts_are_held(path):
    path.write_text(CARD.replace("train: 4", "train: 5"))
    with pytest.raises(DataError, match=r"the split train has 4 samples, the card says 5"):
        load(str(path))


def test_opinions_with_preset_seed_samples_and_dials():
    data = load("opinions/starved", samples=40, valid=30, test=20, seed=3)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 40, "valid": 30, "test": 20}
    assert data.notes["card"] == "opinions"
    assert data.notes["options"] == {"preset": "starved", "samples": 40, "valid": 30, "test": 20, "seed": 3}
    assert data.ceiling["all"]
    again = load("opinions/starved", samples=40, valid=30, test=20, seed=3)
    assert data["train"].texts == again["train"].texts
    with pytest.raises(ConfigError, match=r'unknown preset "starve"\. Did you mean starved'):
        load("opinions/starve")


def test_unknown_names_get_near_ones():
    with pytest.raises(ConfigError, match=r'unknown data set "mosi_uterance". Did you mean mosi_utterance'):
        load("mosi_uterance")
    with pytest.raises(ConfigError, match="unknown data set"):
        available("nothing_like_it")


def test_import_is_light():
    code = "import sys, workbench.data.inspection.check, workbench.data.fetch; "
    code += "print([m for m in ('sklearn', 'pooch', 'pandas', 'requests', 'transformers', 'plotly') if m in sys.modules])"
    found = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
