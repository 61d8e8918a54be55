import numpy as np
import pytest
import torch

from workbench.data.arrays import SPECIAL, token_column, vocabulary, words
from workbench.data.batch import PADDING, UNKNOWN, Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.scaling import standardise
from workbench.errors import ConfigError, DataError

REGRESSION = TaskSpec("regression")
CLASSES = TaskSpec("multiclass", classes=("sad", "happy"))
LABELS = TaskSpec("multilabel", classes=("sad", "happy", "calm"))


def made(**changes: dict[str, object]) -> dict[str, dict[str, object]]:
    """Two splits with every kind; `changes` by split replace keys (None takes one away)."""

    def part(n: int) -> dict[str, object]:
        return {
            "text": ["A good film", "a BAD film", ""][:n],
            "audio": [np.arange(2.0 * t).reshape(t, 2) for t in (3, 1, 2)[:n]],
            "vision": np.ones((n, 4, 3)),
            "face": np.full((n, 1, 2, 2), 0.5),
            "stats": np.arange(n * 2).reshape(n, 2),
            "target": np.linspace(-3, 3, n),
        }

    splits = {"train": part(3), "valid": part(2)}
    for split, keys in changes.items():
        splits.setdefault(split, part(2)).update(keys)
        splits[split] = {key: value for key, value in splits[split].items() if value is not None}
    return splits


def build(task: TaskSpec = REGRESSION, rates: dict[str, float] | None = None, **changes: dict[str, object]) -> Dataset:
    return Dataset.from_arrays("mine", made(**changes), task=task, rates=rates)


def test_words_and_vocabulary_by_hand():
    assert words("It's  GOOD,\tgood") == ["it's", "good,", "good"]
    known = vocabulary(["b a", "B c"])
    assert known == (*SPECIAL, "b", "a", "c")
    assert (known.index(SPECIAL[0]), known.index(SPECIAL[1])) == (PADDING, UNKNOWN)
    column = token_column(["a b", "z", ""], known)
    assert column.values.tolist() == [3, 2, UNKNOWN, UNKNOWN]
    assert column.offsets.tolist() == [0, 2, 3, 4]


def test_every_kind_is_recognised():
    data = build(rates={"audio": 20.0})
    found = {name: (spec.kind, spec.size, spec.length) for name, spec in data.spec.modalities.items()}
    assert found == {
        "text": ("tokens", 6, 3),  # padding, unknown, a, film, bad, good
        "audio": ("sequence", 2, 3),
        "vision": ("sequence", 3, 4),
        "face": ("image", 1, 1),
        "stats": ("vector", 2, 1),
    }
    assert data.spec.modalities["face"].shape == (1, 2, 2)
    assert data.spec.modalities["audio"].rate == 20
    assert data["train"].texts == ["A good film", "a BAD film", ""]
    assert data["train"].columns["audio"][2].tolist() == [[0, 1], [2, 3]]
    assert data["train"].columns["stats"].values.dtype == torch.float32
    assert data["train"].ids == ["train_0", "train_1", "train_2"]
    batch = next(data["valid"].batches(2))
    assert batch["audio"].values.shape == (2, 3, 2)
    assert batch["face"].values.shape == (2, 1, 2, 2)


def test_vocabulary_is_that_of_train():
    data = build(valid={"text": ["good zebra", "zebra"]})
    assert "zebra" not in data.spec.modalities["text"].vocabulary
    assert data["valid"].columns["text"].values.tolist()[1:] == [UNKNOWN, UNKNOWN]


def test_classes_by_name_and_by_number():
    named = build(CLASSES, train={"target": ["happy", "sad", "happy"]}, valid={"target": np.array(["sad", "sad"])})
    numbered = build(CLASSES, train={"target": [1.0, 0.0, 1.0]}, valid={"target": [[0], [0]]})
    assert named["train"].target.tolist() == numbered["train"].target.tolist() == [1, 0, 1]
    assert named["valid"].target.dtype == numbered["valid"].target.dtype == torch.int64


def test_ids_and_groups_are_kept():
    data = build(train={"ids": [7, 8, 9], "groups": np.array(["x", "x", "y"])}, test={})
    assert data["train"].ids == ["7", "8", "9"]
    assert data["train"].groups == ["x", "x", "y"]
    assert data["valid"].groups is None
    assert list(data.splits) == ["train", "valid", "test"]


NAN = np.array([[0, 1], [0, np.nan], [np.nan, 0]])


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"train": {"target": None}}, r'the key "target" is missing(.|\n)*split train'),
        ({"valid": {"audio": None}}, r'the key "audio" is missing(.|\n)*split valid'),
        ({"valid": {"audio": None, "Audio": np.ones((2, 2))}}, r'"audio" is missing. Did you mean Audio'),
        ({"valid": {"smell": np.ones((2, 2))}}, r'the key "smell" is not in train'),
        ({"tests": {}}, r'unknown split "tests". Did you mean test'),
        ({"train": {"stats": np.ones((2, 2))}}, r"stats has 2 samples, target has 3(.|\n)*split train"),
        ({"valid": {"stats": np.ones((2, 5))}}, r"stats is \[5\] a step(.|\n)*split valid, stats, first at row 0(.|\n)*\[2\]"),
        ({"valid": {"face": np.ones((2, 1, 2, 3))}}, r"face is \[1, 2, 3\] a step"),
        ({"train": {"stats": NAN}}, r"stats: a value is nan(.|\n)*row 1 \(train_1\), column 1"),
        ({"train": {"stats": NAN * 0 + 1e300}}, r"stats: a value is (inf|nan)"),
        (
            {"train": {"audio": [np.ones((2, 2)), np.array([[1, 2], [3, np.inf]]), np.ones((1, 2))]}},
            r"a value is inf(.|\n)*row 1 \(train_1\), step 1, column 1",
        ),
        ({"train": {"stats": np.array([["a", 1], ["b", 2], ["c", 3]], dtype=object)}}, r"stats holds object(.|\n)*row 0|holds <U1"),
        ({"train": {"stats": np.ones((3, 2), complex)}}, r"stats holds complex128, not numbers"),
        ({"train": {"text": ["a", 3, "b"]}}, r"text has sentences and numbers(.|\n)*row 1"),
        ({"valid": {"text": np.ones((2, 2))}}, r"text is of kind vector here and tokens in train"),
        ({"train": {"stats": np.ones(3)}}, r"stats has the shape \[3\](.|\n)*samples x feature"),
        ({"train": {"stats": [[1, 2], [3], [4, 5]]}}, r"stats is \[1\] here and \[2\] in row 0(.|\n)*row 1"),
        ({"train": {"audio": [np.ones((2, 2)), np.ones((1, 3)), np.ones((1, 2))]}}, r"audio is \[1, 3\] here and \[2, 2\] in row 0(.|\n)*row 1"),
        ({"train": {"audio": [np.ones((2, 2)), np.ones((0, 2)), np.ones((1, 2))]}}, r"audio has a sample without a step(.|\n)*row 1"),
        ({"train": {"stats": [[[1], [2, 3]], [[1], [2]], [[1], [2]]]}}, r"stats has rows of unequal length(.|\n)*row 0"),
        ({"valid": {"audio": []}}, r"audio has no samples(.|\n)*split valid"),
        ({"valid": {"audio": 3}}, r"audio has no samples"),
        ({"valid": {"target": [0, 3.5]}}, r"the label 3.5 is out of range(.|\n)*split valid, row 1 \(valid_1\), target(.|\n)*-3 to 3"),
        ({"valid": {"target": [0, np.nan]}}, r"the label nan is out of range"),
        ({"valid": {"target": []}}, r"target has the shape \[0\]"),
        ({"valid": {"target": ["x", "y"]}}, r"target holds <U1"),
        ({"valid": {"ids": ["a", "a"]}}, r'the id "a" stands twice'),
        ({"train": {"ids": ["a", "b", "c"]}, "valid": {"ids": ["d", "b"]}}, r'the id "b" stands twice(.|\n)*split train and valid'),
        ({"valid": {"groups": ["a"]}}, r"groups has 1 samples, target has 2"),
    ],
)
def test_wrong_arrays_are_refused_with_their_place(changes, match):
    with pytest.raises(DataError, match=match):
        build(**changes)


@pytest.mark.parametrize(
    ("target", "match"),
    [
        (["happy", "hapy", "sad"], r'unknown label "hapy". Did you mean happy(.|\n)*row 1'),
        ([0, 1, 2], r"the label 2 is of no class(.|\n)*row 2"),
        ([0, -1, 1], r"the label -1 is of no class(.|\n)*row 1"),
        ([0, 0.5, 1], r"the label 0.5 is no class number(.|\n)*row 1"),
        ([0, np.nan, 1], r"the label nan is no class number"),
    ],
)
def test_wrong_classes_are_refused(target, match):
    with pytest.raises(DataError, match=match):
        build(CLASSES, train={"target": target}, valid={"target": [0, 1]})


def test_labels_by_name_and_by_number():
    numbered = build(LABELS, train={"target": [[0, 1, 0], [0, 0, 0], [1, 1, 1]]}, valid={"target": np.array([[True, False, False]] * 2)})
    named = build(LABELS, train={"target": [["happy"], [], ["calm", "sad", "happy"]]}, valid={"target": [("sad",), ("sad",)]})
    for data in (numbered, named):
        assert data["train"].target.tolist() == [[0, 1, 0], [0, 0, 0], [1, 1, 1]]  # A sample may have no label at all.
        assert data["valid"].target.tolist() == [[1, 0, 0]] * 2
        assert data["train"].target.dtype == torch.float32
    assert build(LABELS, train={"target": [[], [], []]}, valid={"target": [[], []]})["train"].target.sum() == 0
    assert next(named["train"].batches(2)).target.shape == (2, 3)


@pytest.mark.parametrize(
    ("target", "match"),
    [
        ([[0, 1], [1, 0], [0, 0]], r"target has the shape \[3, 2\](.|\n)*split train(.|\n)*samples x 3 of 0 and 1, or the label names"),
        ([0, 1, 0], r"target has the shape \[3\]"),
        (np.zeros((0, 3)), r"target has the shape \[0, 3\]"),
        ([], r"target has the shape \[0\]"),
        ([[0, 1, 0], [0, 2, 0], [0, 0, 0]], r"the label happy is 2(.|\n)*row 1(.|\n)*0 or 1"),
        ([[0, 1, 0], [0, 0, 0], [0.5, 0, 0]], r'the label sad is 0\.5(.|\n)*key "target", row 2'),
        ([[0, 1, 0], [0, 0, np.nan], [0, 0, 0]], r"the label calm is nan(.|\n)*row 1"),
        ([["happy"], ["hapy"], []], r'unknown label "hapy"\. Did you mean happy(.|\n)*row 1(.|\n)*one of sad, happy, calm'),
        ([["happy"], "sad", []], r"target has rows of unequal length"),
        ([[0, 1, 0], [0, 1], [0, 0, 0]], r"target has rows of unequal length(.|\n)*split train"),
        ([["a", "b", "c"], [1, 2, 3], [1, 2, 3]], r"target holds <U"),
    ],
)
def test_wrong_labels_are_refused(target, match):
    with pytest.raises(DataError, match=match):
        build(LABELS, train={"target": target}, valid={"target": [[0, 0, 1]] * 2})


def test_labels_for_another_task_are_refused():
    with pytest.raises(DataError, match="target has rows of unequal length"):
        build(REGRESSION, train={"target": [[1], [2, 3], [4]]})
    with pytest.raises(DataError, match=r"target has the shape \[3, 3\](.|\n)*one label a sample"):
        build(CLASSES, train={"target": np.eye(3)}, valid={"target": [0, 1]})
    with pytest.raises(DataError, match=r'unknown label "\[\'sad\'\]"'):
        build(CLASSES, train={"target": np.array([["sad"], ["happy"], ["sad"], None], dtype=object)[:3]}, valid={"target": [0, 1]})


def test_missing_parts_are_refused():
    with pytest.raises(DataError, match="the split valid is missing"):
        Dataset.from_arrays("mine", {"train": made()["train"]}, task=REGRESSION)
    with pytest.raises(DataError, match="there is no modality"):
        Dataset.from_arrays("mine", {"train": {"target": [1]}, "valid": {"target": [1]}}, task=REGRESSION)
    with pytest.raises(ConfigError, match=r'unknown modality "adio"\. Did you mean audio'):
        build(rates={"adio": 20})


def test_standardise_uses_train_only_and_kills_constants():
    train, valid = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[5.0, 9.0]])
    splits = {"train": {"a": train, "b": train, "target": [0, 1]}, "valid": {"a": valid, "b": valid, "target": [0]}}
    data = standardise(Dataset.from_arrays("mine", splits, task=REGRESSION), ["a"])
    assert data["train"].columns["a"].values.tolist() == [[-1, 0], [1, 0]]  # Mean 2, standard deviation 1; the second never changes.
    assert data["valid"].columns["a"].values.tolist() == [[3, 0]]
    assert data["valid"].columns["b"].values.tolist() == [[5, 9]]


def test_standardise_counts_every_real_step_once():
    audio = [np.array([[0.0], [0.0], [3.0]]), np.array([[3.0]])]
    splits = {split: {"audio": audio, "target": [0, 1]} for split in ("train", "valid")}
    splits["valid"]["ids"] = ["x", "y"]
    data = standardise(Dataset.from_arrays("mine", splits, task=REGRESSION), ["audio"])
    assert data["train"].columns["audio"].values.flatten().tolist() == [-1, -1, 1, 1]  # Four steps: mean 1.5, deviation 1.5.


def test_missing_steps_do_not_count_in_the_scale():
    """Standardised by the steps that are there: 2 and 4 have mean 3 and deviation 1."""
    values, there = torch.tensor([[0.0], [2.0], [4.0], [0.0]]), torch.tensor([False, True, True, False])
    column = Column(values, torch.tensor([0, 2, 4]), there)
    split = Split("train", {"audio": column}, torch.zeros(2), ["a", "b"])
    data = Dataset("made", Spec({"audio": ModalitySpec("sequence", 1, 2)}, TaskSpec("regression")), {"train": split})
    scaled = standardise(data, ["audio"])["train"].columns["audio"]
    assert scaled[0].flatten().tolist() == [0, -1]
    assert scaled[1].flatten().tolist() == [1, 0]
