"""Which samples are worth a look? Rows of a split by what is known of them and what the model says of them.

shown = orders(found, split)          # "teaches most", "largest error", "right", ... -> rows, the first one first
"""

from collections.abc import Mapping

import numpy as np

from workbench.data.batch import Split, TaskSpec
from workbench.probes.subsets import Subsets, chances

TEACHES, LARGEST, SMALLEST, RIGHT, WRONG, APART, ALL = (
    "teaches most", "largest error", "smallest error", "right", "wrong", "modalities disagree in the model", "all, in order",
)  # fmt: skip


def errors(said: np.ndarray, target: np.ndarray, task: TaskSpec) -> np.ndarray:
    """How far each prediction is from the truth: the distance of scores; what the true class's probability lacks; labels: the mean lack."""
    found = chances(said, task)
    if task.kind == "regression":
        return np.abs(found - target)
    if task.kind == "multiclass":
        return 1 - found[np.arange(len(found)), target.astype(int)]
    return np.abs(found - target).mean(1)


def is_right(said: np.ndarray, target: np.ndarray, task: TaskSpec) -> np.ndarray:
    """Which predictions are right: the class, all labels; a score of the true sign that is nearer to the truth than half of all."""
    if task.kind == "multiclass":
        return said.argmax(1) == target
    if task.kind == "multilabel":
        return ((said > 0) == (target > 0.5)).all(1)
    far = errors(said, target, task)
    has_sides = task.low < 0 < task.high
    return (far <= np.median(far)) & ((np.sign(said) == np.sign(target)) if has_sides else True)


def teaching(found: Subsets, target: np.ndarray) -> np.ndarray:
    """All rows, the one that teaches most first: rightly predicted ones before others, then by how far muting one modality moves the prediction."""
    right = is_right(found.whole, target, found.task)
    return np.lexsort((-np.nan_to_num(found.moved).max(0), ~right))


def apart(found: Subsets) -> np.ndarray:
    """How far the modalities alone are from each other in the model: the largest distance of two predictions with one modality left each.

    Of more modalities than every subset was asked of: of two predictions with one muted each.
    """
    each = [found.of(name) if (name,) in found.said else found.without(name) for name in found.modalities]
    table = np.stack([chances(said, found.task) for said in each])
    far = table.max(0) - table.min(0)
    return np.nan_to_num(far if far.ndim == 1 else far.max(1))


def orders(found: Subsets, split: Split, known: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """Ways to go through the samples: name -> rows, without ways that have none.

    Args:
        found: see `subset_predictions`.
        split: its split.
        known: groups of which more is known, `sample` (bool) each, e.g. sarcastic ones.
    """
    target, task = split.target.cpu().numpy(), found.task
    far, right, order = errors(found.whole, target, task), is_right(found.whole, target, task), np.arange(len(split))
    taught = teaching(found, target)
    ways = {
        TEACHES: taught,
        LARGEST: np.argsort(-far, kind="stable"),
        SMALLEST: np.argsort(far, kind="stable"),
        RIGHT: order[right],
        WRONG: order[is_wrong(found.whole, target, task)],
        APART: np.argsort(-apart(found), kind="stable"),
    }
    ways |= {name: taught[members[taught]] for name, members in (known or {}).items()}
    ways |= {name: order[members] for name, members in classes(target, task).items()}
    return {name: rows for name, rows in ways.items() if len(rows)} | {ALL: order}


def is_wrong(said: np.ndarray, target: np.ndarray, task: TaskSpec) -> np.ndarray:
    """Which predictions are wrong: another class, any label; a score on the other side of zero (on a scale without sides: off by more than half)."""
    if task.kind == "regression" and task.low < 0 < task.high:
        return (np.sign(said) != np.sign(target)) & (target != 0)
    return ~is_right(said, target, task)


def classes(target: np.ndarray, task: TaskSpec) -> dict[str, np.ndarray]:
    """Samples of each class or label; of scores with two sides: the negative and the positive."""
    if task.kind == "multiclass":
        return {f"true class: {name}": target == place for place, name in enumerate(task.classes)}
    if task.kind == "multilabel":
        return {f"true label: {name}": target[:, place] > 0.5 for place, name in enumerate(task.classes)}
    return {"truth negative": target < 0, "truth positive": target > 0} if task.low < 0 < task.high else {}
