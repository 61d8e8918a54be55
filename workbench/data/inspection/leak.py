"""The leak probe. A linear model that is fitted on one part of train and scored on another part must do about as well on valid. Where it does much
better inside train, the *features* were fitted on the training labels: no choice of a model inside train can be trusted then.

Rule: a modality is flagged where accuracy inside train (5-fold cross-validation, whole groups held out) exceeds accuracy on valid by more
than `GAP` = 0.10 and by more than `ERRORS` = 3 standard errors of the difference. Why: 3 errors keep chance out (about one honest modality in
700); 0.10 lets pass what other speakers, other films or a harder valid set do honestly. Errors count groups (videos, speakers), not samples,
where groups are known.

It cannot see a leak that valid shares: a valid set cut from the samples that the features were fitted on looks as good as train.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from workbench.data.batch import PADDING, Column, ModalitySpec, TaskSpec
from workbench.data.column import PIECE
from workbench.errors import DataError

GAP, ERRORS, FOLDS = 0.10, 3.0, 5
STRENGTH = 0.01
"""Inverse penalty of the logistic probe on standardised features; word counts are multiplied by 10, which for them makes it 1."""
PIXELS = 16
"""Images are averaged down to at most this height and width: the probe is linear and has some thousand samples."""

Features = np.ndarray | sparse.csr_matrix
"""One row a sample."""


def classes(name: str, targets: Mapping[str, np.ndarray], task: TaskSpec) -> tuple[dict[str, np.ndarray], str]:
    """What the probe tells apart, by split, and this in words: the classes; of several labels the one whose share of train is nearest to a half;
    for regression the two halves of the range, or, where one is nearly empty, of train.

    Raises:
        DataError: there is only one in train.
    """
    rule, found = "the classes", dict(targets)
    if task.kind == "multilabel":
        best = int(np.argmin(np.abs((targets["train"] > 0.5).mean(0) - 0.5)))
        rule, found = f"label {task.classes[best]} or not", {key: (target[:, best] > 0.5).astype(int) for key, target in targets.items()}
    elif task.kind == "regression":
        cut = (task.low + task.high) / 2
        share = float((targets["train"] >= cut).mean())
        if not 0.1 <= share <= 0.9:
            cut = float(np.median(targets["train"]))
        rule, found = f"label below {cut:g} or not", {key: (target >= cut).astype(int) for key, target in targets.items()}
    if len(np.unique(found["train"])) < 2:
        raise DataError(f"{name}: all training labels are one", where="split train, target", expected=f"two or more to tell apart ({rule})")
    return found, rule


def features(column: Column, spec: ModalitySpec, rows: Tensor) -> Features:
    """One row for each of some samples (row numbers): the mean over the steps that are there; images made small and laid flat; tokens as counts
    of words (times 10, see STRENGTH).
    """
    if spec.kind == "tokens":
        return _word_counts(column.take(rows), spec.size)
    parts = [_means(column.take(some)) for some in _row_pieces(column, rows)]
    return np.concatenate(parts)


def _word_counts(column: Column, size: int) -> sparse.csr_matrix:
    words = column.values.numpy()
    keep = words != PADDING if column.present is None else (words != PADDING) & column.present.numpy()
    rows = np.repeat(np.arange(len(column)), column.lengths.numpy())
    return sparse.csr_matrix((np.full(int(keep.sum()), 10.0), (rows[keep], words[keep])), shape=(len(column), size))


def _row_pieces(column: Column, rows: Tensor) -> Iterator[Tensor]:
    """The rows, so many at a time that their steps hold some million values (always one row at least)."""
    width = max(1, int(np.prod(column.values.shape[1:])))
    piece = (column.lengths[rows].cumsum(0) * width).div(PIECE, rounding_mode="floor")
    return iter(rows.split(torch.unique_consecutive(piece, return_counts=True)[1].tolist()))


def _means(column: Column) -> np.ndarray:
    """The mean step of each sample, float64."""
    values = column.values.float()
    if values.dim() == 4:
        small = [min(PIXELS, side) for side in values.shape[2:]]
        values = values if small == list(values.shape[2:]) else torch.nn.functional.adaptive_avg_pool2d(values, small)
    flat = values.flatten(1).double().numpy()
    there = np.ones(len(flat)) if column.present is None else column.present.double().numpy()
    starts = column.offsets[:-1].numpy()
    counts = np.maximum(np.add.reduceat(there, starts), 1)
    return np.add.reduceat(flat * there[:, None], starts, axis=0) / counts[:, None]


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
