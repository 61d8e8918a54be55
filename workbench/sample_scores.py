"""Which metrics are means over samples, and each sample's part in them: what two models said can then be compared sample by sample."""

from collections.abc import Callable

import numpy as np

from workbench.data.batch import TaskSpec
from workbench.errors import ConfigError
from workbench.tasks import metrics_of

Parts = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _rounded(limit: int) -> Parts:
    return lambda said, true: np.round(np.clip(said, -limit, limit)) == np.round(np.clip(true, -limit, limit))


def _between(*cuts: float) -> Parts:
    """Equal intervals of values clipped to [-1, 1]; a value on a cut belongs below it."""
    edges = np.float32(cuts)
    return lambda said, true: np.digitize(np.clip(said, -1, 1), edges, right=True) == np.digitize(np.clip(true, -1, 1), edges, right=True)


def _error(said: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.abs(said - true)


REGRESSION: dict[str, Parts] = {
    "acc2_non0": lambda said, true: np.where(true == 0, np.nan, (said > 0) == (true > 0)),
    "acc2_has0": lambda said, true: (said >= 0) == (true >= 0),
    "acc5": _rounded(2),
    "acc7": _rounded(3),
    "acc2_sims": _between(0),
    "acc3_sims": _between(-0.1, 0.1),
    "acc5_sims": _between(-0.7, -0.1, 0.1, 0.7),
    "mae": _error,
}
MULTICLASS: dict[str, Parts] = {"accuracy": lambda said, true: said == true}
MULTILABEL: dict[str, Parts] = {
    "accuracy": lambda said, true: ((said > 0.5) == (true > 0.5)).mean(1),
    "mae": lambda said, true: _error(said, true).mean(1),
}
KINDS = {"regression": REGRESSION, "multiclass": MULTICLASS, "multilabel": MULTILABEL}
"""By kind of task: metric -> the part of each sample (`workbench.tasks` has the definitions; nan: the sample does not count)."""


def by_sample(metric: str, said: np.ndarray, true: np.ndarray, task: TaskSpec) -> np.ndarray:
    """Each sample's part in a metric, as a run's trace has the predictions (classes as numbers, labels as probabilities); their mean is the metric.

    Raises:
        ConfigError: the metric is no mean over samples.
    """
    parts = KINDS[task.kind]
    if metric not in parts:
        raise ConfigError(f"{metric} is not a mean over samples", expected=f"one of {', '.join(name for name in parts if name in metrics_of(task))}")
    # Single precision, as the metrics: a label of 0.1 lies on the cut at 0.1, not above it.
    return np.asarray(parts[metric](np.asarray(said, np.float32), np.asarray(true, np.float32)), float)


def nearest(metric: str, task: TaskSpec) -> str:
    """The metric itself where it is a mean over samples; else what tests stand on: the error for a correlation, an accuracy for an F1."""
    if metric in KINDS[task.kind]:
        return metric
    if task.kind != "regression":
        return "accuracy"
    accuracy = metric.replace("f1_", "acc2_")
    return accuracy if accuracy in REGRESSION and accuracy in metrics_of(task) else "mae"
