from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.data.arrays import dataset_from_arrays
from workbench.data.batch import Column, Dataset
from workbench.data.card import DataCard
from workbench.data.sources import missing_files, verify_files
from workbench.data.verify import verify
from workbench.errors import DataError, MissingDataError

CARD = """---
name: mine
title: Mine
task: {kind: regression, range: [-3, 3]}
modalities:
  text: {kind: tokens, size: 4, description: words}
  audio: {kind: vector, size: 2, description: two numbers}
splits:
  train: 2
  valid: 1
format: npz
folds: {train: [x], valid: [y]}
sources:
  - path: a/one.bin
    sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
    bytes: 3
licence: none
citation: none
---
Made for a test.
"""


def build_card(folder: Path, *changes: tuple[str, str]) -> DataCard:
    text = CARD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "mine.md").write_text(text)
    return DataCard.load(folder / "mine.md")


def data() -> Dataset:
    splits = {
        "train": {"text": ["a b", "a"], "audio": np.ones((2, 2)), "target": [1, 2], "groups": ["x", "x"]},
        "valid": {"text": ["a"], "audio": np.ones((1, 2)), "target": [3], "groups": ["y"]},
    }
    return dataset_from_arrays("mine", splits, task=build_task())


def build_task():
    from workbench.data.batch import TaskSpec

    return TaskSpec("regression")


def with_split(name: str, **changes: object) -> Dataset:
    made = data()
    return replace(made, splits={**made.splits, name: replace(made[name], **changes)})


def with_column(name: str, split: str, values: torch.Tensor, offsets: list[int]) -> Dataset:
    columns = dict(data()[split].columns)
    columns[name] = Column(values, torch.tensor(offsets))
    return with_split(split, columns=columns)


def test_facts_of_data_as_the_card_says(tmp_path):
    facts = verify(build_card(tmp_path), data())
    assert facts[:2] == ["split train: 2 samples", "split valid: 1 samples"]
    assert "text: tokens of 4 words" in facts
    assert "labels in -3 to 3" in facts


def test_null_means_any(tmp_path):
    card = build_card(tmp_path, ("size: 4", "size: null"), ("train: 2", "train: null"))
    verify(card, data())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            ("  train: 2", "  train: 3"),
            r"the split train has 2 samples, the card says 3(.|\n)*split train(.|\n)*correct `train:` in .*mine.md line 9",
        ),
        (("  valid: 1", "  valid: 1\n  test: 5"), r"the split test is missing(.|\n)*line 11"),
        (("  audio: {kind: vector, size: 2", "  vision: {kind: vector, size: 2"), r"the modality vision is missing"),
        (("  text: {kind: tokens, size: 4, description: words}\n", ""), r"there is a further modality text"),
        (("size: 2", "size: 3"), r"audio has 2 columns, the card says 3(.|\n)*workbench data check mine; or correct `size:` in .*mine.md line 7"),
        (("size: 4", "size: 5"), r"text has 4 words, the card says 5"),
        (("kind: vector", "kind: sequence"), r"audio is of kind vector, the card says sequence"),
        (("size: 2", "size: 2, rate: 20"), r"audio has the rate None, the card says 20"),
        (("range: [-3, 3]", "range: [-1, 1]"), r"the task is (.|\n)*correct `task:`"),
        (("train: [x]", "train: [z]"), r"x is in the split train, the card says otherwise(.|\n)*line 12"),
    ],
)
def test_each_difference_from_the_card_is_its_own_error(tmp_path, change, match):
    with pytest.raises(DataError, match=match):
        verify(build_card(tmp_path, change), data())


def test_a_video_that_a_copy_lacks_is_said_and_unknown_videos_are_refused(tmp_path):
    card = build_card(tmp_path, ("valid: [y]", "valid: [y, yy]"))
    assert "each video or speaker is in the split that the card says; 1 of the card's are not in the data" in verify(card, data())
    with pytest.raises(DataError, match="the videos or speakers of the split valid are not known"):
        verify(card, with_split("valid", groups=None))


def test_further_split_and_other_order(tmp_path):
    card, made = build_card(tmp_path), data()
    extra = replace(made, splits={**made.splits, "test": replace(made["valid"], name="test")})
    with pytest.raises(DataError, match="there is a further split test"):
        verify(card, extra)
    columns = dict(reversed(made["train"].columns.items()))
    with pytest.raises(DataError, match="the modalities come as audio, text"):
        verify(card, with_split("train", columns=columns))


@pytest.mark.parametrize(
    ("made", "match"),
    [
        (
            with_column("audio", "train", torch.tensor([[1, 1], [float("nan"), 1]]), [0, 1, 2]),
            r"audio: a value is nan(.|\n)*row 1 \(train_1\), column 0",
        ),
        (
            with_column("audio", "valid", torch.tensor([[1, float("-inf")]]), [0, 1]),
            r"audio: a value is -inf(.|\n)*split valid, audio, row 0 \(valid_0\), column 1",
        ),
        (with_column("audio", "train", torch.ones(2, 3), [0, 1, 2]), r"audio is \[3\] a step"),
        (
            with_column("text", "train", torch.tensor([1, 2, 9]), [0, 2, 3]),
            r"text: token id 9 is in no vocabulary(.|\n)*row 1 \(train_1\), step 0(.|\n)*0 to 3",
        ),
        (with_column("text", "train", torch.tensor([1, 2]), [0, 2, 2]), r"text has a sample without a step(.|\n)*row 1"),
        (with_column("audio", "train", torch.ones(1, 2), [0, 1]), r"audio has 1 samples, the target has 2"),
        (with_split("train", ids=["a"]), r"ids has 1 samples, the target has 2"),
        (with_split("train", ids=["a", "a"]), r'the id "a" stands twice'),
        (with_split("train", groups=["x"]), r"groups has 1 samples"),
        (with_split("train", texts=["x"]), r"texts has 1 samples"),
        (
            with_split("valid", target=torch.tensor([3.1])),
            r"the label 3.1 is out of range(.|\n)*row 0 \(valid_0\), target(.|\n)*`range:` in .*line 4",
        ),
        (with_split("valid", target=torch.tensor([float("nan")])), r"the label nan is out of range"),
    ],
)
def test_wrong_values_are_named_with_split_and_row(tmp_path, made, match):
    with pytest.raises(DataError, match=match):
        verify(build_card(tmp_path), made)


def test_unknown_class(tmp_path):
    from workbench.data.batch import TaskSpec

    card = build_card(tmp_path, ("kind: regression, range: [-3, 3]", "kind: multiclass, classes: [sad, happy]"))
    made = with_split("train", target=torch.tensor([0, 2]))
    spec = replace(made.spec, task=TaskSpec("multiclass", 0, 1, ("sad", "happy")))
    with pytest.raises(DataError, match=r"the label 2 is of no class(.|\n)*row 1(.|\n)*sad, happy"):
        verify(card, replace(made, spec=spec))


def test_files_missing_cut_off_and_changed(tmp_path):
    card = build_card(tmp_path)
    assert missing_files(card, tmp_path) == ["a/one.bin"]
    with pytest.raises(MissingDataError, match=r"1 of 1 files are not on this machine(.|\n)*a/one.bin(.|\n)*correct `path:`"):
        verify_files(card, tmp_path)
    path = tmp_path / "a/one.bin"
    path.parent.mkdir()
    path.write_bytes(b"abc")
    assert missing_files(card, tmp_path) == []
    # The sum of "abc" is the first test vector of FIPS 180-2.
    assert verify_files(card, tmp_path) == {"a/one.bin": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    path.write_bytes(b"ab")
    assert missing_files(card, tmp_path) == ["a/one.bin"]
    with pytest.raises(DataError, match=r"one.bin has 2 bytes \(cut off\?\)(.|\n)*line 16"):
        verify_files(card, tmp_path)
    path.write_bytes(b"abd")
    with pytest.raises(DataError, match=r"its sha256 differs(.|\n)*line 15"):
        verify_files(card, tmp_path)


def test_a_sample_in_two_splits_is_refused(tmp_path):
    with pytest.raises(DataError, match=r'the id "train_1" stands in two splits(.|\n)*split train and split valid'):
        verify(build_card(tmp_path), with_split("valid", ids=["train_1"]))


@pytest.mark.parametrize("value", [float("nan"), 50.0])
def test_labels_of_single_modalities_are_on_the_scale_of_the_task(tmp_path, value):
    made = with_split("train", labels={"audio": torch.tensor([0.5, value])})
    with pytest.raises(DataError, match=r"what audio alone says is (nan|50)(.|\n)*row 1 \(train_1\)(.|\n)*-3 to 3"):
        verify(build_card(tmp_path), made)
    with pytest.raises(DataError, match="1 labels of audio for 2 samples"):
        verify(build_card(tmp_path), with_split("train", labels={"audio": torch.zeros(1)}))
    with pytest.raises(DataError, match="only one of two splits has labels of audio alone"):
        verify(build_card(tmp_path), with_split("train", labels={"audio": torch.zeros(2)}))


OTHER = (
    "task: {kind: regression, range: [-3, 3]}",
    "task: {kind: regression, range: [-3, 3]}\nother_tasks:\n  moods: {kind: multilabel, classes: [sad, glad]}",
)


def with_moods(labels: torch.Tensor) -> Dataset:
    """The data asked for moods, with what the audio alone says of the training samples."""
    from workbench.data.batch import Spec, TaskSpec

    made = data()
    targets = {"train": torch.tensor([[1.0, 0], [1, 1]]), "valid": torch.tensor([[0.0, 0]])}
    alone = {"train": {"audio": labels}, "valid": {"audio": torch.zeros(1, 2)}}
    splits = {name: replace(split, target=targets[name], labels=alone[name]) for name, split in made.splits.items()}
    return replace(made, spec=Spec(made.spec.modalities, TaskSpec("multilabel", 0.0, 1.0, ("sad", "glad"))), splits=splits)


def test_a_card_may_have_another_task_by_an_option(tmp_path):
    card = build_card(tmp_path, OTHER)
    facts = verify(card, with_moods(torch.tensor([[0.5, 1], [0, 0.25]])))
    assert "labels: any of sad, glad" in facts and "labels in -3 to 3" in verify(card, data())
    with pytest.raises(DataError, match=r"the task is(.|\n)*the card says(.|\n)*"):
        verify(build_card(tmp_path), with_moods(torch.zeros(2, 2)))


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (torch.tensor([[0.5, 1], [0, 1.25]]), r"what audio alone says is 0, 1.25(.|\n)*row 1(.|\n)*a probability for each of sad, glad(.|\n)*line 6"),
        (torch.zeros(2), r"the labels of audio are \[2\](.|\n)*\[2, 2\]"),
        (torch.zeros(1, 2), r"1 labels of audio for 2 samples"),
        (torch.full((2, 2), float("nan")), r"what audio alone says is nan, nan"),
    ],
)
def test_what_a_modality_says_of_several_labels_is_a_probability(tmp_path, labels, match):
    with pytest.raises(DataError, match=match):
        verify(build_card(tmp_path, OTHER), with_moods(labels))


def test_what_a_modality_says_of_a_score_is_one_number(tmp_path):
    with pytest.raises(DataError, match=r"the labels of audio are \[2, 2\](.|\n)*\[2\]"):
        verify(build_card(tmp_path), with_split("train", labels={"audio": torch.zeros(2, 2)}))


def test_a_wrong_other_task_is_refused_with_its_line(tmp_path):
    old, new = OTHER
    with pytest.raises(DataError, match=r"other_tasks.moods(.|\n)*line 6"):
        build_card(tmp_path, (old, new.replace(", classes: [sad, glad]", "")))
