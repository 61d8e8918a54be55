"""The rungs of a training in stages: the score of each modality alone, of what relates them, and of their fusion, out of the same run.

scores = stage_scores(results.runs)                              variant, block, rung, seed, metric, value
figures.score_ladder(scores, metric="acc2_non0", ceiling=..., chance=constant_score(data, "acc2_non0"))
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from workbench.data.batch import Dataset
from workbench.errors import DataError
from workbench.runs import Run
from workbench.tasks import make_task

BLOCKS = {"unimodal": "single modalities", "correlation": "correlated", "fusion": "fused"}
"""What comes before the dot of a stage's name, and what its block of the ladder is called."""

SURE = 30.0
"""A label's score whose probability is 1, to eight places and more."""

COLUMNS = ("variant", "block", "rung", "seed", "split", "metric", "value")


def stage_scores(runs: Iterable[Run], *, split: str = "test", metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """The scores of each stage of some runs, in the order in which the stages were trained.

    Args:
        runs: finished runs of a method that is trained in stages.
        split: which split.
        metrics: these only.

    Returns:
        One row a number: variant, block (see `BLOCKS`), rung (the modality of a stage `unimodal.<modality>`; else the block), seed, split, metric,
        value. A metric that is not defined is left out.

    Raises:
        DataError: no run was trained in stages.
    """
    rows, has_any = [], False
    for run in runs:
        for stage, found in run.metrics.get("stages", {}).items():
            has_any = True
            block, _, part = stage.partition(".")
            named = BLOCKS.get(block, block)
            scores = {name: value for name, value in found[split].items() if value is not None and (metrics is None or name in metrics)}
            rows += [(run.variant, named, part or named, run.seed, split, name, value) for name, value in scores.items()]
    if not has_any:
        raise DataError("no run was trained in stages, so there is no ladder", expected="runs of delta_attention with joint=None")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def constant_score(data: Dataset | Mapping[int, Dataset], metric: str, *, split: str = "test") -> float:
    """The score of the best answer that looks at nothing: the median of train, its more frequent sign or class, or its labels by their rates.

    Several draws give the mean of their scores.

    Args:
        data: a data set, or one a seed.
        metric: which metric.
        split: where it is scored.

    Raises:
        DataError: the task has no such metric.
    """
    draws = [data] if isinstance(data, Dataset) else list(data.values())
    return float(np.mean([_constant(one, metric, split) for one in draws]))


def _constant(data: Dataset, metric: str, split: str) -> float:
    """The better one of the constant answers that train suggests (chosen on train)."""
    task = make_task(data.spec.task)
    train, target = data["train"].target.cpu(), data[split].target.cpu()
    candidates = _answers(train, data.spec.task.kind, len(data.spec.task.classes))
    scored = [task.metrics(answer.expand(len(train), *answer.shape).contiguous(), train) for answer in candidates]
    if metric not in scored[0]:
        raise DataError(f"this task has no metric {metric}", expected=f"one of {', '.join(scored[0])}")
    chosen = candidates[int(np.nanargmax([(-1 if metric in ("mae", "loss") else 1) * found[metric] for found in scored]))]
    return task.metrics(chosen.expand(len(target), *chosen.shape).contiguous(), target)[metric]


def _answers(train: torch.Tensor, kind: str, classes: int) -> list[torch.Tensor]:
    """Constant answers in the form of a model's prediction; of labels their rates, and sure ones: all labels down to some rate, or none."""
    if kind == "regression":
        return [train.float().median(), torch.tensor(1.0), torch.tensor(-1.0)]
    if kind == "multiclass":
        return [torch.bincount(train.long(), minlength=classes).float()]
    rates = train.float().mean(0)
    levels = [0.5, *rates.unique().tolist(), 2.0]
    return [rates.logit(eps=1e-6), *(torch.where(rates >= level, SURE, -SURE) for level in levels)]
