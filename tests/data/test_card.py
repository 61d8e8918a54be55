import json
from pathlib import Path

import pytest

from workbench.data import card as card_module
from workbench.data.card import DataCard, card, cards
from workbench.errors import ConfigError, DataError

HEAD = """name: mine
title: Mine
task: {kind: regression, range: [-3, 3]}
modalities:
  text: {kind: tokens, size: null, description: words}
  audio:
    kind: vector
    size: 2
    description: two numbers
splits: {train: 4, valid: 2}
format: npz
sources:
  - path: mine/train.npz
licence: none
citation: none
"""


def write(folder: Path, head: str = HEAD, prose: str = "Made for a test.", name: str = "mine") -> Path:
    path = folder / f"{name}.md"
    path.write_text(f"---\n{head}---\n{prose}\n")
    return path


def test_head_is_typed_and_prose_kept(tmp_path):
    found = DataCard.load(write(tmp_path))
    assert list(found.modalities) == ["text", "audio"]
    assert (found.task.spec().low, found.task.spec().high, found.task.spec().outputs) == (-3, 3, 1)
    assert found.prose == "Made for a test."
    assert len(found.sha256) == 64
    assert found.place("modalities", "audio", "size").endswith("mine.md line 9")
    assert found.place("modalities", "audio", "rate").endswith("mine.md line 7")  # Not in the card: the field around it.


def test_windows_line_ends_are_read(tmp_path):
    path = tmp_path / "mine.md"
    path.write_bytes(f"---\n{HEAD}---\nProse.\n".replace("\n", "\r\n").encode())
    assert DataCard.load(path).place("format").endswith("line 12")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (("title: Mine", "title: Mine\ntitle: Other"), r"the key `title` stands twice(.|\n)*line 4(.|\n)*already in line 3"),
        (("    size: 2", "    size: 2\n    size: 3"), r"the key `size` stands twice"),
        (("title: Mine", "titel: Mine"), r"the field `title` is missing \(1 more\)"),
        (("title: Mine", "title: Mine\nlicense: x"), r"unknown field `license`. Did you mean licence"),
        (("    size: 2", "    size: two"), r"the field `modalities.audio.size` = 'two' is not right(.|\n)*mine.md line 9"),
        (("    size: 2", "    size: 2\n    rat: 3"), r"unknown field `modalities.audio.rat`. Did you mean rate"),
        (("kind: vector", "kind: image"), r"`shape: \[channel, height, width\]` is for images"),
        (("size: null,", "size: null, standardise: true,"), r"tokens are names, not amounts"),
        (("range: [-3, 3]", "range: [3, -3]"), r"regression needs `range: \[low, high\]`"),
        (("kind: regression, range: [-3, 3]", "kind: multiclass, classes: [a]"), r"multiclass needs `classes:`"),
        (("range: [-3, 3]", "range: [-3, 3], headline: acc8"), r"`headline: acc8` is no metric of this task; one of mae, corr, acc2_has0"),
        (("kind: regression, range: [-3, 3]", "kind: multiclass, classes: [no, yes]"), r"`task.classes.0` = False is not right"),
        (("{train: 4, valid: 2}", "{train: 4}"), r"`splits:` needs train and valid"),
        (("{train: 4, valid: 2}", "{train: 0, valid: 2}"), r"`splits.train` = 0 is not right"),
        (("path: mine/train.npz", "path: ../train.npz"), r"a path below the data root(.|\n)*|`sources.0.path`"),
        (("path: mine/train.npz", "path: /etc/passwd"), r"a path below the data root"),
        (("path: mine/train.npz", "path: a\n    url: ftp://x"), r"`sources.0.url` = 'ftp://x' is not right"),
        (("path: mine/train.npz", "path: a\n    url: https://x"), r"a file that is downloaded needs its `sha256:`"),
        (("format: npz", "format: npz\nfolds: {train: [a], valid: [a]}"), r"`folds:` names a twice"),
        (("title: Mine", "title: &t Mine\ncitation2: *t"), r"a YAML alias"),
        (("title: Mine", "title: [Mine"), r"the card's head is not YAML(.|\n)*line \d+"),
    ],
)
def test_wrong_heads_are_refused_with_the_line(tmp_path, change, match):
    assert change[0] in HEAD
    with pytest.raises(DataError, match=match):
        DataCard.load(write(tmp_path, HEAD.replace(*change)))


def test_cards_without_file_head_prose_or_utf8_are_refused(tmp_path):
    with pytest.raises(DataError, match="there is no card"):
        DataCard.load(tmp_path / "none.md")
    (tmp_path / "a.md").write_text("# Title\n")
    with pytest.raises(DataError, match="the card has no head"):
        DataCard.load(tmp_path / "a.md")
    with pytest.raises(DataError, match="no words for people"):
        DataCard.load(write(tmp_path, prose=""))
    with pytest.raises(DataError, match="not a mapping"):
        DataCard.load(write(tmp_path, head="- a\n"))
    (tmp_path / "b.md").write_bytes(b"---\n\xff\n---\nx")
    with pytest.raises(DataError, match="cannot be read"):
        DataCard.load(tmp_path / "b.md")


def test_own_folder_is_searched_first_and_unknown_names_get_near_ones(tmp_path, monkeypatch):
    write(tmp_path)
    write(tmp_path, HEAD, name="README")
    monkeypatch.setenv("WORKBENCH_CARDS", str(tmp_path))
    assert {"mine", "mosi", "opinions", "digits", "mosi_utterance"} <= set(cards())
    assert "README" not in cards()
    assert card("mine").title == "Mine"
    assert card("mine/preset").name == "mine"
    assert card(str(tmp_path / "mine.md")).name == "mine"
    with pytest.raises(ConfigError, match=r'unknown data set "mosy". Did you mean mosi'):
        card("mosy")
    write(tmp_path, HEAD, name="yours")
    with pytest.raises(DataError, match="calls itself mine"):
        card("yours")


def test_published_rows_are_long_and_say_what_differs(tmp_path):
    extra = "published:\n  - {method: lf_dnn, scores: {mae: 0.9, corr: 0.6}, split: test, source: T1, differs: [features, split]}\n"
    extra += "  - {method: mean, scores: {mae: 1.3}, split: test, source: T2}\n"
    rows = DataCard.load(write(tmp_path, HEAD + extra)).published_rows()
    assert [(row["method"], row["metric"], row["value"], row["is_comparable"]) for row in rows] == [
        ("lf_dnn", "mae", 0.9, False),
        ("lf_dnn", "corr", 0.6, False),
        ("mean", "mae", 1.3, True),
    ]
    assert rows[0]["differs"] == "features, split"


@pytest.mark.parametrize("name", ["digits", "mosi", "mosi_utterance", "opinions"])
def test_shipped_cards_load_and_have_words_for_people(name):
    found = card(name)
    assert found.path.parent == card_module.CARDS
    assert len(found.prose) > 500
    assert found.traps


def test_mosi_folds_are_the_standard_ones(mirror):
    standard = json.loads((mirror / "mosi_labels/standard_folds.json").read_text())
    assert card("mosi").folds == {split: standard[f"standard_{split}_fold"] for split in ("train", "valid", "test")}


def test_mosi_sums_are_those_of_the_mirror(mirror):
    sums = dict(reversed(line.split()) for line in (mirror / "SHA256SUMS").read_text().splitlines())
    for name in ("mosi", "mosi_utterance"):
        for source in card(name).sources:
            assert sums[source.path] == source.sha256
            assert (mirror / source.path).stat().st_size == source.bytes


def test_paper_numbers_as_printed():
    rows = {(row["method"], row["metric"], row["source"]): row["value"] for row in card("mosi").published_rows()}
    mmsa = "MMSA results/result-stat.md, mean of 5 seeds"
    assert rows["lf_dnn", "acc2_has0", mmsa] == 0.7752
    assert rows["self_mm", "mae", mmsa] == 0.708
    assert rows["lf_dnn/text", "acc2_non0", "AWF Table 1"] == 0.7828
    assert rows["lf_dnn+b_fusion", "acc2_non0", "AWF Table 3"] == 0.7942
    assert rows["awf", "corr", "AWF Table 4"] == 0.791
    assert rows["awf/adam", "f1_non0", "AWF Table 7"] == 0.851
    assert rows["awf/no_a_fusion", "acc2_non0", "AWF Table 9"] == 0.8537
    assert not any(row["is_comparable"] for row in card("mosi").published_rows())
    assert all(0 < row["value"] < 1 for row in card("mosi").published_rows())


VARIANTS = "variants: [unaligned, aligned]\npublished:\n" + "".join(
    f"  - {{method: {method}, scores: {{mae: 0.9}}, split: test, source: T, {rest}}}\n"
    for method, rest in (
        ("any", "note: n"),
        ("own", "variant: unaligned"),
        ("words", "variant: aligned"),
        ("tuned", "variant: aligned, differs: [text model]"),
    )
)


@pytest.mark.parametrize(
    ("variant", "differs"),
    [
        ("", ["", "", "alignment", "text model, alignment"]),
        ("unaligned", ["", "", "alignment", "text model, alignment"]),
        ("aligned", ["", "alignment", "", "text model"]),
    ],
)
def test_published_rows_of_another_variant_are_not_comparable(tmp_path, variant, differs):
    rows = DataCard.load(write(tmp_path, HEAD + VARIANTS)).published_rows(variant)
    assert [row["differs"] for row in rows] == differs
    assert [row["is_comparable"] for row in rows] == [not text for text in differs]


def test_published_rows_of_variants_that_are_no_alignment_and_of_none(tmp_path):
    text = HEAD + VARIANTS.replace("[unaligned, aligned]", "[official, speaker]").replace("variant: unaligned", "variant: speaker")
    with pytest.raises(DataError, match="a published row names the variant aligned, which is not among `variants:`"):
        DataCard.load(write(tmp_path, text))
    found = DataCard.load(write(tmp_path, text.replace("variant: aligned", "variant: speaker")))
    assert [row["differs"] for row in found.published_rows()] == ["", "variant", "variant", "text model, variant"]
    with pytest.raises(ConfigError, match='unknown variant "speakers". Did you mean speaker'):
        found.published_rows("speakers")


@pytest.mark.parametrize("name", cards())
def test_published_rows_name_variants_that_the_card_has(name):
    assert {row.variant for row in card(name).published} <= {"", *card(name).variants}


def test_rows_with_a_tuned_text_model_are_not_comparable_with_frozen_features():
    tuned = {"misa", "self_mm", "mmim", "tetfn", "cenet", "awf", "mmiln", "mag_bert"}
    for name in ("mosi_mmsa", "mosi_mmsa/aligned", "mosei_mmsa", "mosei_mmsa/aligned", "sims", "simsv2", "mosi_misa", "mosi_csd", "mosei_csd"):
        rows = card(name).published_rows(name.partition("/")[2])
        assert not [row["method"] for row in rows if row["is_comparable"] and str(row["method"]).split("/")[0] in tuned], name
    for variant, methods in (("", {"lf_dnn", "tfn", "lmf", "mult"}), ("aligned", {"ef_lstm", "mfn", "graph_mfn"})):
        assert {row["method"] for row in card("mosei_mmsa").published_rows(variant) if row["is_comparable"]} == methods


def test_rows_whose_files_are_not_named_and_quotes_that_contradict_each_other():
    for name in ("mosi_mmsa", "mosei_mmsa", "sims", "iemocap_mult"):
        own = [row for row in card(name).published if row.source.startswith("AWF") and row.method.startswith("awf")]
        assert own and all("files not named" in row.differs for row in own)
    for name in ("mosei_csd", "mosei_mmsa"):
        (row,) = [row for row in card(name).published if row.method == "misa" and row.source == "AWF Table 4"]
        assert "features" in row.differs and "MMILN Table 2 quotes other numbers" in row.note
    quoted = [row for row in card("sims").published if row.source == "AWF Table 4" and row.method in ("tfn", "lmf")]
    assert [row.differs for row in quoted] == [["features"], ["features"]] and all("MISA has no CH-SIMS" in row.note for row in quoted)
