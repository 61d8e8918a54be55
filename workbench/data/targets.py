"""The labels of own data: numbers, class names, or rows of 0 and 1, checked and made a tensor."""

import numpy as np
import torch

from workbench.data.batch import TaskSpec
from workbench.errors import DataError, near


def array_error(name: str, what: str, split: str, key: str = "", row: int | None = None, *, expected: str = "", do: str = "") -> DataError:
    """The error for arrays of a user: what, in which split, key and row."""
    where = f"split {split}" + (f', key "{key}"' if key else "") + (f", row {row}" if row is not None else "")
    return DataError(f"{name}: {what}", where=where, expected=expected, do=do)


def read_target(name: str, split: str, given: object, task: TaskSpec) -> torch.Tensor:
    """The labels: float32 (regression), int64 class numbers, or `samples label` float32 of 0 and 1 (multilabel).

    Args:
        name: what the data set is called.
        split: whose labels these are.
        given: one number or class name a sample; multilabel: `samples label` of 0 and 1, or the label names of each sample (may be none).
        task: what they mean.

    Raises:
        DataError: another shape or type, a name that no class has, a number that is no class, a label that is neither 0 nor 1.
    """
    if task.kind == "multilabel":
        return _labels(name, split, given, task)
    array = _array(name, split, given)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not len(array):
        raise array_error(name, f"target has the shape {list(array.shape)}", split, "target", expected="one label a sample")
    if task.kind == "multiclass" and array.dtype.kind in "UO":
        return torch.tensor([_number(name, split, label, row, task) for row, label in enumerate(array)])
    if array.dtype.kind not in "fiub":
        expected = "numbers" if task.kind == "regression" else "class numbers or names"
        raise array_error(name, f"target holds {array.dtype}", split, "target", expected=expected)
    if task.kind == "regression":
        with np.errstate(over="ignore"):  # What float32 cannot hold becomes infinite, and is then refused with its row.
            return torch.from_numpy(array.astype(np.float32))
    broken = ~np.isfinite(array) | (array != np.round(array))
    if broken.any():
        row = int(broken.argmax())
        raise array_error(name, f"the label {array[row]} is no class number", split, "target", row, expected=f"0 to {len(task.classes) - 1}")
    return torch.from_numpy(array.astype(np.int64))


def _labels(name: str, split: str, given: object, task: TaskSpec) -> torch.Tensor:
    """Rows of 0 and 1, also where the names of the labels were given."""
    if isinstance(given, list | tuple) and given and all(_is_names(row) for row in given):
        target = torch.zeros(len(given), len(task.classes))
        for row, labels in enumerate(given):
            for label in labels:
                target[row, _number(name, split, label, row, task)] = 1
        return target
    array = _array(name, split, given)
    expected = f"samples x {len(task.classes)} of 0 and 1, or the label names of each sample"
    if array.ndim != 2 or not len(array) or array.shape[1] != len(task.classes):
        raise array_error(name, f"target has the shape {list(array.shape)}", split, "target", expected=expected)
    if array.dtype.kind not in "fiub":
        raise array_error(name, f"target holds {array.dtype}", split, "target", expected=expected)
    wrong = np.argwhere((array != 0) & (array != 1))
    if len(wrong):
        row, column = wrong[0].tolist()
        what = f"the label {task.classes[column]} is {array[row, column]}"
        raise array_error(name, what, split, "target", row, expected="0 or 1")
    return torch.from_numpy(array.astype(np.float32))


def _is_names(row: object) -> bool:
    return isinstance(row, list | tuple) and all(isinstance(label, str) for label in row)


def _number(name: str, split: str, label: object, row: int, task: TaskSpec) -> int:
    """The number of a class by its name."""
    if not isinstance(label, str) or label not in task.classes:
        what = f'unknown label "{label}".{near(str(label), task.classes)}'
        raise array_error(name, what, split, "target", row, expected=f"one of {', '.join(task.classes)}")
    return task.classes.index(label)


def _array(name: str, split: str, given: object) -> np.ndarray:
    try:
        return np.asarray(given)
    except ValueError:
        raise array_error(name, "target has rows of unequal length", split, "target", expected="the same number of labels in every row") from None
