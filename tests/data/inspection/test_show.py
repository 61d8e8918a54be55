"""`data show`: bounded width, any encoding, and something to say also where the data is missing or broken."""

import numpy as np
import pytest
import torch

from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.inspection.characters import ASCII, BLOCKS
from workbench.data.inspection.show import facts, portrait_lines, show
from workbench.errors import ConfigError

SMALL = {"samples": 30, "valid": 10, "test": 10}


@pytest.mark.parametrize("width", [40, 80, 130])
@pytest.mark.parametrize("name", ["opinions/starved", "digits"])
def test_no_line_is_wider_than_the_terminal(name, width):
    options = SMALL if name.startswith("opinions") else {}
    lines = show(name, terminal=width, encoding="utf-8", **options).splitlines()
    assert max(map(len, lines)) <= width


def test_everything_is_drawn_also_in_ascii():
    said = show("opinions/starved", sample=1, terminal=80, encoding="ascii", **SMALL)
    assert said.isascii()
    for part in (
        "opinions: Simulated",
        "trap",
        "sample train 1 (train_00001), label",
        "text (",
        "audio (",
        "pitch",
        "words a sample",
        "labels of train",
    ):
        assert part in said
    assert not show("opinions/starved", terminal=80, encoding="utf-8", **SMALL).isascii()


def test_the_width_is_the_terminals(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, show("digits", encoding="ascii").splitlines())) <= 60


def test_data_that_is_not_here_says_how_to_get_it(tmp_path):
    said = show("mosi", root=tmp_path, terminal=200, encoding="ascii")
    assert said.startswith("mosi: CMU-MOSI")
    assert "workbench data fetch mosi" in said
    assert "workbench data fetch mosi" in facts("mosi", root=tmp_path)["problem"]


def test_data_that_is_broken_does_not_hide_the_card(tmp_path):
    (tmp_path / "card.md").write_text(CARD)
    arrays = {"audio": np.array([[1.0, np.nan]] * 3), "target": np.array([0.0, 1, 0])}
    for split in ("train", "valid"):
        np.savez(tmp_path / f"{split}.npz", **arrays)
    said = show(str(tmp_path / "card.md"), terminal=200, encoding="ascii")
    assert said.startswith("mine: My clips") and "The data here cannot be shown: " in said and "workbench data check" in said


CARD = """---
name: mine
title: My clips
task: {kind: regression, range: [-1, 1]}
modalities: {audio: {kind: vector, size: 2, description: two numbers}}
splits: {train: 3, valid: 3}
format: npz
sources: [{path: train.npz}, {path: valid.npz}]
licence: mine
citation: none
---
Mine.
"""


def test_an_unknown_card_and_a_sample_that_is_not_there():
    with pytest.raises(ConfigError, match='unknown data set "digit"'):
        show("digit")
    with pytest.raises(ConfigError, match="there is no sample 5000 in train"):
        show("digits", sample=5000)


def wide() -> Dataset:
    """A sequence of 12 features, a large image, many labels."""
    rng, splits = np.random.default_rng(0), {}
    for name in ("train", "valid"):
        columns = {
            "audio": Column.from_list([rng.normal(size=(steps, 12)).astype(np.float32) for steps in (3, 30, 7)]),
            "image": Column.from_rows(rng.uniform(size=(3, 3, 120, 60)).astype(np.float32)),
        }
        splits[name] = Split(name, columns, torch.tensor(rng.integers(0, 2, (3, 30)), dtype=torch.float32), ["a", "b", "c"])
    specs = {"audio": ModalitySpec("sequence", 12, 30), "image": ModalitySpec("image", 3, shape=(3, 120, 60))}
    return Dataset("made", Spec(specs, TaskSpec("multilabel", classes=tuple(f"label {i}" for i in range(30)))), splits)


def test_wide_sequences_are_a_map_and_many_labels_are_counted():
    lines = portrait_lines(wide(), sample=1, width=80, ink=BLOCKS)
    said = "\n".join(lines)
    assert "darker: higher, 3 standard deviations from the training mean at the ends)" in said.replace("\n", " ")
    assert "  and 6 more" in lines
    assert max(map(len, lines)) <= 80
    assert all(line.isascii() for line in portrait_lines(wide(), width=80, ink=ASCII))


def test_facts_count_what_is_here():
    found = facts("digits")
    assert found["splits"] == {"train": 1197, "valid": 300, "test": 300}
    assert found["lengths"]["stroke"] == {"shortest": 8, "median": 8.0, "longest": 8}
    assert sum(found["labels"]["test"].values()) == 300
