"""A malformed data set in memory gives an error that names its place, never a traceback of numpy."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.inspection.check import check
from workbench.data.inspection.structure import verify_structure
from workbench.errors import DataError


def fine() -> Dataset:
    """Two modalities, two splits, nothing wrong."""

    def split(name: str, n: int) -> Split:
        columns = {"audio": Column.from_list([np.full((2, 3), i, np.float32) for i in range(n)]), "text": Column.from_list([np.array([2, 3])] * n)}
        return Split(name, columns, torch.arange(n) / n, [f"{name}_{i}" for i in range(n)], groups=[f"{name}{i % 2}" for i in range(n)])

    spec = Spec({"audio": ModalitySpec("sequence", 3, 2), "text": ModalitySpec("tokens", 4, 2)}, TaskSpec("regression", 0, 1))
    return Dataset("made", spec, {"train": split("train", 8), "valid": split("valid", 4)})


def with_column(data: Dataset, **changed: object) -> Dataset:
    """The same with fields of train's audio changed."""
    train = data.splits["train"]
    columns = {**train.columns, "audio": replace(train.columns["audio"], **changed)}
    return replace(data, splits={**data.splits, "train": replace(train, columns=columns)})


def with_train(data: Dataset, **changed: object) -> Dataset:
    """The same with fields of train changed."""
    return replace(data, splits={**data.splits, "train": replace(data.splits["train"], **changed)})


def empty(data: Dataset) -> Dataset:
    return replace(data, splits={**data.splits, "valid": data.splits["valid"].take(torch.zeros(0, dtype=torch.int64))})


MALFORMED = {
    r"the split valid is missing(.|\n)*do +keep some": lambda data: replace(data, splits={"train": data.splits["train"]}),
    r"the split train is missing": lambda data: replace(data, splits={}),
    r"there is no modality": lambda data: replace(data, spec=Spec({}, data.spec.task)),
    r"the split valid is empty": empty,
    r"the target has the shape \[8, 1\](.|\n)*\[8\]": lambda data: with_train(data, target=torch.zeros(8, 1)),
    r"audio is missing(.|\n)*split train": lambda data: with_train(data, columns={"text": data.splits["train"].columns["text"]}),
    r"the offsets of audio do not count(.|\n)*0 to 16": lambda data: with_column(data, offsets=torch.arange(9)),
    r"the offsets of audio do not count its steps": lambda data: with_column(data, offsets=torch.arange(9).float()),
    r"the offsets of audio go back(.|\n)*row 1": lambda data: with_column(data, offsets=torch.tensor([0, 6, 4, 6, 8, 10, 12, 14, 16])),
    r"audio has 1 dimensions": lambda data: with_column(data, values=torch.zeros(16)),
    r"audio holds int64(.|\n)*floating": lambda data: with_column(data, values=torch.zeros(16, 3, dtype=torch.int64)),
    r"what stands as labels of audio is no array but NoneType": lambda data: with_train(data, labels={"audio": None}),
    r"the target is no array but Tensor of no dimension": lambda data: with_train(data, target=torch.tensor(1.0)),
    r"the target holds bool": lambda data: with_train(data, target=torch.ones(8, dtype=torch.bool)),
    r"the values of audio is no array but ndarray": lambda data: with_column(data, values=np.zeros((16, 3))),
    r"the offsets of audio is no array but NoneType": lambda data: with_column(data, offsets=None),
    r"the flags of missing steps of audio is no array but list": lambda data: with_column(data, present=[True]),
    r"and hold int64(.|\n)*\[16\], bool": lambda data: with_column(data, present=torch.ones(16, dtype=torch.int64)),
    r"flags of missing steps of audio have the shape \[3\]": lambda data: with_column(data, present=torch.ones(3, dtype=torch.bool)),
    r"ids has 1 samples, the target has 8": lambda data: with_train(data, ids=["a"]),
    r"groups has 2 samples": lambda data: with_train(data, groups=["a", "b"]),
    r"texts has 1 samples": lambda data: with_train(data, texts=["a"]),
    r"labels of audio has 3 samples": lambda data: with_train(data, labels={"audio": torch.zeros(3)}),
    r"audio has a sample without a step": lambda data: with_column(data, offsets=torch.tensor([0, 4, 4, 6, 8, 10, 12, 14, 16])),
    r"a value is inf": lambda data: with_column(data, values=torch.full((16, 3), torch.inf)),
    r"audio is \[2\] a step": lambda data: with_column(data, values=torch.zeros(16, 2)),
    r"the label 9 is out of range": lambda data: with_train(data, target=torch.full((8,), 9.0)),
    r"the label nan": lambda data: with_train(data, target=torch.full((8,), torch.nan)),
    r"all training labels are one": lambda data: with_train(data, target=torch.full((8,), 0.5)),
}


@pytest.mark.parametrize("said", MALFORMED, ids=lambda said: said.split("(")[0][:40])
def test_each_malformation_is_named(said):
    with pytest.raises(DataError, match=said):
        check(MALFORMED[said](fine()))


def test_class_numbers_are_whole():
    data = fine()
    data = replace(data, spec=Spec(data.spec.modalities, TaskSpec("multiclass", classes=("a", "b"))))
    with pytest.raises(DataError, match="the target holds float32"):
        verify_structure(data)


def test_several_labels_have_a_column_each():
    data = replace(fine(), spec=Spec(fine().spec.modalities, TaskSpec("multilabel", classes=("a", "b"))))
    with pytest.raises(DataError, match=r"the target has the shape \[8\](.|\n)*\[8, 2\]"):
        verify_structure(data)


def test_words_are_whole_numbers():
    data = fine()
    train = data.splits["train"]
    columns = {**train.columns, "text": Column(torch.zeros(16), train.columns["text"].offsets)}
    with pytest.raises(DataError, match=r"text holds float32(.|\n)*whole numbers"):
        verify_structure(with_train(data, columns=columns))


def test_a_small_but_whole_data_set_gives_a_result():
    found = check(fine())
    assert set(found.modalities) == {"audio", "text"}
    assert found.text()
    one = fine()
    one = replace(one, splits={key: split.take(torch.arange(2)) for key, split in one.splits.items()})
    assert check(one).as_dict()["modalities"]["audio"]["inside"] is None or check(one).modalities["audio"].inside >= 0
