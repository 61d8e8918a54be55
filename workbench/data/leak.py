"""The leak probe. A linear model that is fitted on one part of train and scored on another part must do about as well on valid. Where it does much
better inside train, the *features* were fitted on the training labels: no choice of a model inside train can be trusted then.

Rule: a modality is flagged where accuracy inside train (5-fold cross-validation, whole groups held out) exceeds accuracy on valid by more
than `GAP` = 0.10 and by more than `ERRORS` = 3 standard errors of the difference. Why: 3 errors keep chance out (about one honest modality in
700); 0.10 lets pass what other speakers, other films or a harder valid set do honestly. Errors count groups (videos, speakers), not samples,
where groups are known.

It cannot see a leak that valid shares: a valid set cut from the samples that the features were fitted on looks as good as train.
"""

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from workbench.data.batch import PADDING, Column, Dataset, ModalitySpec
from workbench.errors import DataError

GAP, ERRORS, FOLDS = 0.10, 3.0, 5
STRENGTH = 0.01
"""Inverse penalty of the logistic probe on standardised features; word counts are multiplied by 10, which for them makes it 1."""

Features = np.ndarray | sparse.csr_matrix
"""One row a sample."""


def classes(dataset: Dataset) -> tuple[dict[str, np.ndarray], str]:
    """What the probe tells apart: the classes; for regression the two halves of the range, or, where one is nearly empty, of train."""
    targets = {name: split.target.numpy() for name, split in dataset.splits.items()}
    task, rule = dataset.spec.task, "the classes"
    if task.kind == "regression":
        cut = (task.low + task.high) / 2
        share = float((targets["train"] >= cut).mean())
        if not 0.1 <= share <= 0.9:
            cut = float(np.median(targets["train"]))
        rule = f"label below {cut:g} or not"
        targets = {name: (target >= cut).astype(int) for name, target in targets.items()}
    if len(np.unique(targets["train"])) < 2:
        raise DataError(f"{dataset.name}: all training labels are one", where="split train, target", expected=f"two or more to tell apart ({rule})")
    return targets, rule


def features(column: Column, spec: ModalitySpec) -> Features:
    """One row a sample: the mean over its steps; images laid flat; tokens as counts of words (times 10, see STRENGTH)."""
    values, offsets = column.values.numpy(), column.offsets.numpy()
    if spec.kind == "tokens":
        rows = np.repeat(np.arange(len(column)), np.diff(offsets))
        keep = values != PADDING
        counts = np.full(int(keep.sum()), 10.0)
        return sparse.csr_matrix((counts, (rows[keep], values[keep])), shape=(len(column), spec.size))
    flat = values.reshape(len(values), -1).astype(np.float64)
    return np.add.reduceat(flat, offsets[:-1], axis=0) / np.diff(offsets)[:, None]


def scaled(part: dict[str, Features]) -> dict[str, Features]:
    """Features by the mean and standard deviation of train; word counts stay."""
    train = part["train"]
    if sparse.issparse(train):
        return part
    spread = np.where(np.ptp(train, axis=0) > 0, train.std(0), np.inf)
    return {key: (rows - train.mean(0)) / spread for key, rows in part.items()}


def predict(features: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """What a logistic model says that was fitted on the features and labels."""
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) == 1:
        return np.full(asked.shape[0], labels[0])
    return LogisticRegression(C=STRENGTH, max_iter=1000).fit(features, labels).predict(asked)


def folds(labels: np.ndarray, groups: list[str] | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Row numbers to fit on and to score, whole groups together; nothing where a class has one sample only."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    most = min(FOLDS, np.unique(labels, return_counts=True)[1].min(), len(set(groups)) if groups else FOLDS)
    if most < 2:
        return iter(())
    folds = StratifiedGroupKFold(most, shuffle=True, random_state=0) if groups else StratifiedKFold(most, shuffle=True, random_state=0)
    return folds.split(np.zeros(len(labels)), labels, groups)


def score(is_right: np.ndarray, groups: list[str] | None) -> tuple[float, float]:
    """Accuracy and its standard error: between groups where they are known, and never below that of as many single samples."""
    n, accuracy = len(is_right), float(is_right.mean())
    smooth = (is_right.sum() + 1) / (n + 2)  # An accuracy of 1 is not known without error.
    error = np.sqrt(smooth * (1 - smooth) / n)
    if groups is not None and len(set(groups)) > 1:
        number = np.unique(groups, return_inverse=True)[1]
        sums = np.bincount(number, is_right - accuracy)
        error = max(error, np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / n)
    return accuracy, float(error)


def inside_train(features: Features, labels: np.ndarray, groups: list[str] | None) -> tuple[float, float]:
    """Accuracy and its error in cross-validation inside train; nan where a class has one sample only."""
    is_right, is_scored = np.zeros(len(labels), bool), np.zeros(len(labels), bool)
    for fit, held in folds(labels, groups):
        rows = scaled({"train": features[fit], "held": features[held]})
        is_right[held] = predict(rows["train"], labels[fit], rows["held"]) == labels[held]
        is_scored[held] = True
    return score(is_right, groups) if is_scored.all() else (float("nan"), float("nan"))


def is_leak(inside: tuple[float, float], valid: tuple[float, float]) -> bool:
    """The rule: (accuracy, error) inside train exceeds that on valid by more than GAP and more than ERRORS errors."""
    gap = inside[0] - valid[0]
    return bool(gap > GAP and gap > ERRORS * np.hypot(inside[1], valid[1]))
