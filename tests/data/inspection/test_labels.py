"""How labels are spread, by hand."""

import numpy as np
import pytest
import torch

from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.inspection.labels import intervals, label_facts


def labelled(task: TaskSpec, **targets: list) -> Dataset:
    """A data set of one number a sample with these labels."""
    splits = {}
    for name, rows in targets.items():
        target = torch.tensor(rows, dtype=torch.int64 if task.kind == "multiclass" else torch.float32)
        splits[name] = Split(name, {"a": Column.from_rows(np.ones((len(rows), 1), np.float32))}, target, [f"{name}_{i}" for i in range(len(rows))])
    return Dataset("made", Spec({"a": ModalitySpec("vector", 1)}, task), splits)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-3, 3, [-3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3]),
        (-1, 1, [-1, -0.8, -0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 1, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
        (1, 9.5, [1, 2, 3, 4, 5, 6, 7, 8, 9, 9.5]),
        (0, 100, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]),
    ],
)
def test_intervals_are_round(low, high, expected):
    assert intervals(low, high) == expected


def test_numbers_fall_into_intervals_the_last_one_closed():
    found = label_facts(labelled(TaskSpec("regression", -1, 1), train=[-1, -0.8, 0, 0.2, 1], valid=[0.3, 0.3]))
    assert found.names[0] == "-1 to -0.8"
    assert found.counts["train"] == [1, 1, 0, 0, 0, 1, 1, 0, 0, 1]
    assert found.counts["valid"] == [0, 0, 0, 0, 0, 0, 2, 0, 0, 0]
    assert found.signs == pytest.approx((2 / 7, 1 / 7, 4 / 7))
    assert found.facts == ["labels found: -1 to 1, mean 0.00", "negative 28.6%, exactly 0 14.3%, positive 57.1% of all labels"]
    assert found.warnings == []


def test_a_range_without_zero_inside_has_no_signs():
    assert label_facts(labelled(TaskSpec("regression", 0, 1), train=[0, 1], valid=[0.5])).facts == ["labels found: 0 to 1, mean 0.50"]


def test_rare_missing_and_only_classes_are_warned_of():
    task = TaskSpec("multiclass", classes=("many", "rare", "few"))
    found = label_facts(labelled(task, train=[0] * 95 + [1] + [2] * 4, valid=[0, 0]))
    assert found.counts == {"train": [95, 1, 4], "valid": [2, 0, 0]}
    assert found.facts == ["largest class of train: many 95.0%, smallest: rare 1.0%"]
    assert found.warnings == ["1 class below 2% of train: rare (1.0%)", "2 classes never in valid: rare, few", "many: the only class in valid"]


def test_labels_of_several_and_those_that_never_occur():
    task = TaskSpec("multilabel", classes=("drama", "comedy", "war"))
    found = label_facts(labelled(task, train=[[1, 1, 0], [1, 0, 0]], valid=[[1, 0, 1]]))
    assert found.counts == {"train": [2, 1, 0], "valid": [1, 0, 1]}
    assert found.shares() == [1, 0.5, 0]
    assert found.facts == ["largest label of train: drama 100.0%, smallest: war 0.0%"]
    assert found.warnings == ["1 label never in train: war", "1 label never in valid: comedy"]


def test_many_missing_names_are_counted():
    task = TaskSpec("multiclass", classes=tuple("abcdefghij"))
    found = label_facts(labelled(task, train=[0, 1], valid=[0, 1]))
    assert found.warnings[0] == "8 classes never in train: c, d, e, f, g, h and 2 more"
