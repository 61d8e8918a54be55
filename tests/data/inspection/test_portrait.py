"""A data set as tables that can be drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench.data import load
from workbench.data.arrays import dataset_from_arrays
from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.card import card
from workbench.data.inspection import portrait
from workbench.data.inspection.portrait import card_rows, labels_frame, lengths_frame, sample_frame, say_kind, say_label, say_sample
from workbench.errors import ConfigError

TASK = TaskSpec("regression", -1, 1)


def made(values: np.ndarray | list, **options: object) -> Dataset:
    """One modality `a`, the same samples in train and valid."""
    splits = {name: {"a": values, "target": np.linspace(-1, 1, len(values))} for name in ("train", "valid")}
    return dataset_from_arrays("made", splits, task=TASK, **options)


def test_a_sequence_is_drawn_in_training_standard_deviations():
    data = made([np.array([[0.0, 5], [2, 5]]), np.array([[4.0, 5], [2, 5]])], rates={"a": 4})
    frame = sample_frame(data, 0)
    # Feature 0 of train: 0, 2, 4, 2 has mean 2 and standard deviation sqrt 2; feature 1 never changes.
    assert frame["value"].tolist() == pytest.approx([-np.sqrt(2), 0, 0, 0])
    assert frame["step"].tolist() == [0, 0, 0.25, 0.25]
    assert frame["feature"].tolist() == ["0", "1", "0", "1"]
    assert set(frame["unit"]) == {"s"} and set(frame["kind"]) == {"sequence"}


def test_long_and_wide_sequences_are_made_small(monkeypatch):
    monkeypatch.setattr(portrait, "STEPS", 5)
    monkeypatch.setattr(portrait, "FEATURES", 2)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20, 40, 4))
    values[0, :, [1, 3]] *= 30
    frame = sample_frame(made(values), 0)
    assert frame["step"].drop_duplicates().tolist() == [0, 8, 16, 24, 32]
    assert frame["feature"].drop_duplicates().tolist() == ["1", "3"]
    assert frame["place"].drop_duplicates().tolist() == [0, 1]
    assert frame["unit"].iloc[0] == "step"


def test_features_have_the_names_that_the_reader_gave():
    data = load("opinions/starved", samples=20, valid=10, test=10)
    assert "pitch" in set(sample_frame(data, 1)["feature"])
    wrong = replace(data, notes={"channels": {"audio": ["one"]}})
    assert "pitch" not in set(sample_frame(wrong, 1)["feature"])


def test_words_stand_as_they_are():
    data = dataset_from_arrays("made", {name: {"t": ["good film", "odd"], "target": [0, 1]} for name in ("train", "valid")}, task=TASK)
    frame = sample_frame(data, -2)
    assert frame["word"].tolist() == ["good", "film"]
    assert say_sample(data, -2) == 'train 0 (train_0), label 0: "good film"'
    data.spec.modalities["t"] = ModalitySpec("tokens", 5, 2, text_model="model")
    assert sample_frame(data, 0)["word"].tolist() == [str(int(number)) for number in sample_frame(data, 0)["value"]]


def test_images_and_vectors(monkeypatch):
    monkeypatch.setattr(portrait, "PIXELS", 4)
    monkeypatch.setattr(portrait, "NUMBERS", 2)
    images = np.zeros((6, 1, 8, 8))
    images[0, 0, 0, 0] = 4
    frame = sample_frame(made(images), 0)
    assert len(frame) == 16 and frame["value"].max() == 1 and frame["value"].sum() == 1
    assert (frame["step"].max(), frame["place"].max()) == (3, 3)
    vector = sample_frame(made(np.array([[0.0, 9, 1, -9], *np.zeros((5, 4))])), 0)
    assert vector["place"].tolist() == [1, 3] or len(vector) == 2
    flat = sample_frame(made(np.ones((6, 1, 8, 8))), 0)
    assert flat["value"].tolist() == [0] * 16


def test_missing_steps_do_not_move_the_mean():
    column = Column(torch.tensor([[1.0], [100.0], [3.0]]), torch.tensor([0, 2, 3]), present=torch.tensor([True, False, True]))
    split = Split("train", {"a": column}, torch.tensor([0.0, 1.0]), ["x", "y"])
    data = Dataset("made", Spec({"a": ModalitySpec("sequence", 1, 2)}, TASK), {"train": split, "valid": split})
    assert sample_frame(data, 1)["value"].tolist() == [1]  # mean 2, standard deviation 1
    nothing = replace(column, present=torch.zeros(3, dtype=torch.bool))
    data.splits["train"] = replace(split, columns={"a": nothing})
    assert sample_frame(data, 1)["value"].tolist() == [0]


@pytest.mark.parametrize("row", [2, -3])
def test_a_row_that_is_not_there(row):
    with pytest.raises(ConfigError, match=rf"there is no sample {row} in train(.|\n)*0 to 1"):
        sample_frame(made(np.eye(2)), row)


def test_lengths_leave_out_what_is_equally_long():
    data = made([np.zeros((2, 1)), np.ones((5, 1))])
    frame = lengths_frame(data)
    assert frame[frame["split"] == "train"]["value"].tolist() == [2, 5]
    assert frame["unit"].iloc[0] == "steps"
    assert len(lengths_frame(made(np.eye(3)))) == 0


def test_labels_of_each_kind(toy_classes):
    frame = labels_frame(toy_classes)
    train = frame[frame["split"] == "train"]
    assert train["label"].tolist() == ["class 0", "class 1", "class 2", "class 3"]
    assert train["value"].sum() == 96 and train["share"].sum() == pytest.approx(1)
    numbers = labels_frame(made(np.eye(3)))
    assert numbers["low"].min() == -1 and numbers["high"].max() == 1


def test_labels_in_words(toy_classes):
    assert say_label(toy_classes, 0).startswith("class class ")
    split = Split("train", {}, torch.tensor([[1.0, 0, 1], [0, 0, 0]]), ["x", "y"])
    data = Dataset("made", Spec({}, TaskSpec("multilabel", classes=("a", "b", "c"))), {"train": split})
    assert [say_label(data, row) for row in (0, 1)] == ["labels a, c", "labels none"]


@pytest.mark.parametrize(("target", "expected"), [(-1.25, "label -1.25"), (2 / 3, "label 0.67"), (123.456, "label 123.46"), (-0.001, "label 0")])
def test_a_number_is_said_to_two_places(target, expected):
    data = made(np.eye(3))
    valid = replace(data["valid"], target=torch.full((3,), target))
    assert say_label(replace(data, splits={**data.splits, "valid": valid}), 1, split="valid") == expected


def test_a_card_and_its_data_as_rows():
    rows = dict(card_rows(card("digits"), load("digits")))
    assert rows["label"] == "one of 10: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert rows["image"].startswith("image 1 x 8 x 8: ")
    assert rows["samples"] == "train 1,197, valid 300, test 300"
    assert rows["groups"] == "not known"


def test_kinds_in_words():
    assert say_kind(ModalitySpec("tokens", 2163)) == "words, 2,163 known"
    assert say_kind(ModalitySpec("vector", 73)) == "vector of 73"
    assert say_kind(ModalitySpec("sequence", 8, 9, rate=20.0)) == "sequence of 8 features, 20 steps a second"
    assert say_kind(ModalitySpec("sequence", 8, 9)) == "sequence of 8 features, 9 steps at most"
