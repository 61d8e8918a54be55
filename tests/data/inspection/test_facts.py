"""What is in a modality, by hand, and the same whatever the size of the pieces."""

import numpy as np
import pytest
import torch

from workbench.data import column as column_module
from workbench.data.arrays import dataset_from_arrays
from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.inspection.facts import duplicates, fingerprints, modality_facts, pieces, repeats, shared
from workbench.data.inspection.leak import classes, features
from workbench.errors import DataError

AUDIO = [np.array([[0, 1, 5], [0, 2, 5]]), np.array([[0, 0, 5]])] * 4
VALID = [np.array([[0, 1, 5], [0, 2, 5]]), np.array([[0, 7, 6]])]


def small() -> Dataset:
    """Eight samples of train, two of valid; column 0 is zero throughout, column 2 constant in train."""
    splits = {
        "train": {"audio": AUDIO, "text": ["a b"] * 8, "target": [0, 1] * 4, "groups": list("abcdabcd")},
        "valid": {"audio": VALID, "text": ["a c", "a b"], "target": [0, 1], "groups": list("ae")},
    }
    return dataset_from_arrays("made", splits, task=TaskSpec("regression", 0, 1))


@pytest.mark.parametrize("piece", [1, 4, 10**6])
def test_a_modality_by_hand_in_pieces_of_any_size(monkeypatch, piece):
    monkeypatch.setattr(column_module, "PIECE", piece)
    found = modality_facts(small(), "audio")
    assert (found["shortest"], found["median"], found["longest"]) == (1, 1.5, 2)
    assert (found["zero_column_count"], found["constant_column_count"], found["features"]) == (1, 2, 3)
    assert found["zeros"] == pytest.approx((15 + 4) / 45)
    assert (found["missing"], found["dtype"], found["unknown"]) == (0, "float32", 0)


def test_words_have_no_columns_and_may_be_unknown():
    found = modality_facts(small(), "text")
    assert (found["zero_columns"], found["zeros"], found["features"], found["dtype"]) == (0, 0, 0, "int64")
    assert found["unknown"] == 0.25  # c, one word of four


def test_a_pretrained_models_ids_are_never_unknown():
    data = small()
    specs = data.spec.modalities
    specs["text"] = ModalitySpec("tokens", 4, 2, text_model="some-model")
    assert modality_facts(data, "text")["unknown"] == 0


def test_steps_that_are_missing_count_for_nothing():
    values = torch.tensor([[9.0, 1.0], [1.0, 0.0], [9.0, 9.0], [1.0, 4.0]])
    present = torch.tensor([False, True, False, True])
    column = Column(values, torch.tensor([0, 2, 4]), present=present)
    split = Split("train", {"a": column}, torch.tensor([0.0, 1.0]), ["x", "y"])
    data = Dataset("made", Spec({"a": ModalitySpec("sequence", 2, 2)}, TaskSpec("regression", 0, 1)), {"train": split, "valid": split})
    found = modality_facts(data, "a")
    assert (found["missing"], found["constant_column_count"], found["zeros"]) == (0.5, 1, 0.25)
    assert [part.tolist() for part in pieces(column)] == [[[1, 0], [1, 4]]]
    # The mean of the step that is there, not of two.
    assert features(column, data.spec.modalities["a"], torch.arange(2)).tolist() == [[1, 0], [1, 4]]


def test_a_modality_of_which_nothing_is_there_is_no_crash():
    column = Column(torch.ones(2, 2), torch.tensor([0, 1, 2]), present=torch.zeros(2, dtype=torch.bool))
    split = Split("train", {"a": column}, torch.tensor([0.0, 1.0]), ["x", "y"])
    data = Dataset("made", Spec({"a": ModalitySpec("sequence", 2, 1)}, TaskSpec("regression", 0, 1)), {"train": split, "valid": split})
    found = modality_facts(data, "a")
    assert (found["missing"], found["zeros"], found["zero_column_count"]) == (1, 0, 2)
    assert features(column, data.spec.modalities["a"], torch.arange(2)).tolist() == [[0, 0], [0, 0]]
    assert fingerprints(split, "a") == [None, None]


def test_repeats_by_hand():
    data = small()
    prints = {key: fingerprints(split, "audio") for key, split in data.splits.items()}
    # Train holds two different samples four times each; the first of valid is one of them.
    assert repeats(prints) == {"repeated": 1, "twice": 6, "absent": 0}
    text = {key: fingerprints(split, "text") for key, split in data.splits.items()}
    assert repeats(text) == {"repeated": 1, "twice": 7, "absent": 0}
    # With both modalities: train has two different samples, valid two new ones.
    assert duplicates({"audio": prints, "text": text}) == 6


def test_a_missing_modality_is_no_repeat():
    rows = {"train": {"a": np.zeros((4, 2)), "target": [0, 1, 0, 1]}, "valid": {"a": np.zeros((2, 2)), "target": [0, 1]}}
    data = dataset_from_arrays("made", rows, task=TaskSpec("regression", 0, 1))
    prints = {key: fingerprints(split, "a") for key, split in data.splits.items()}
    assert repeats(prints) == {"repeated": 0, "twice": 0, "absent": 6}
    assert duplicates({"a": prints}) == 0


def test_names_in_two_splits():
    assert shared({"train": ["a", "a", "b"], "valid": ["b", "c"], "test": None}) == ["b"]


def test_features_in_pieces_are_the_features(monkeypatch):
    random = np.random.default_rng(0)
    samples = [random.normal(size=(steps, 3)).astype(np.float32) for steps in (1, 5, 2, 9)]
    column, rows = Column.from_list(samples), torch.tensor([0, 1, 3])
    monkeypatch.setattr("workbench.data.inspection.leak.PIECE", 7)
    found = features(column, ModalitySpec("sequence", 3, 9), rows)
    np.testing.assert_allclose(found, [samples[i].mean(0) for i in (0, 1, 3)], rtol=1e-6)


def test_large_images_are_made_small_and_small_ones_stay():
    large = Column.from_rows(np.arange(2 * 32 * 32, dtype=np.float32).reshape(2, 1, 32, 32))
    found = features(large, ModalitySpec("image", 1, shape=(1, 32, 32)), torch.arange(2))
    assert found.shape == (2, 256)
    assert found[0, 0] == np.mean([0, 1, 32, 33])
    small_image = Column.from_rows(np.arange(8, dtype=np.float32).reshape(2, 1, 2, 2))
    assert features(small_image, ModalitySpec("image", 1, shape=(1, 2, 2)), torch.arange(2)).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_missing_words_are_not_counted():
    column = Column(torch.tensor([2, 3, 0, 2]), torch.tensor([0, 2, 4]), present=torch.tensor([True, False, True, True]))
    assert features(column, ModalitySpec("tokens", 4, 2), torch.arange(2)).toarray().tolist() == [[0, 0, 10, 0], [0, 0, 10, 0]]


def test_of_several_labels_the_one_nearest_to_a_half_is_probed():
    target = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 1]], dtype=np.float32)
    task = TaskSpec("multilabel", classes=("always", "half", "rare"))
    found, rule = classes("made", {"train": target, "valid": target[:2]}, task)
    assert rule == "label half or not"
    assert (found["train"].tolist(), found["valid"].tolist()) == ([1, 0, 1, 0], [1, 0])
    with pytest.raises(DataError, match="all training labels are one"):
        classes("made", {"train": target[:, :1]}, TaskSpec("multilabel", classes=("always",)))


def test_sentences_without_a_word_are_no_repetition():
    """Unknown words, and words that are missing (0 in a sample), say nothing: two such samples are not the same sample."""
    column = Column(torch.tensor([5, 1, 7, 8]), torch.tensor([0, 1, 2, 3, 4]), present=torch.tensor([True, True, False, False]))
    split = Split("train", {"text": column}, torch.zeros(4), list("abcd"))
    assert [found is None for found in fingerprints(split, "text")] == [False, True, True, True]
