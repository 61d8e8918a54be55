"""How strongly does a model relate its modalities while it learns? Canonical correlations of each pair by epoch, as a run recorded them on valid."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from workbench.errors import DataError
from workbench.runs import Run

COLUMNS = ("variant", "seed", "stage", "epoch", "pair", "value")

TOTAL = "fusion.total"
"""The tap of the pairs' total correlations."""

WHOLE = "whole"
"""What the only stage is called where a model is trained all at once."""


def correlations_by_epoch(runs: Iterable[Run], *, tap: str = TOTAL, stages: Sequence[str] | None = ("correlation", WHOLE)) -> pd.DataFrame:
    """The total canonical correlation of each pair of modalities on valid, by epoch of the stage.

    A run's `pair_means` hold it: a variable a tap with the single axis `pair`, `epoch pair`; epochs in which it was not computed are not there.

    Args:
        runs: finished runs.
        tap: the tap's name.
        stages: of these stages only (a run without stages has one, `whole`); None: of all.

    Returns:
        One row a number: variant, seed, stage, epoch (counted from 1 in the stage), pair (`text x audio`), value (the sum of the pair's canonical
        correlations).

    Raises:
        DataError: no run recorded such a tap.
    """
    rows, has_any = [], False
    for run in runs:
        means = run.trace["pair_means"].to_dataset() if "pair_means" in run.trace else {}
        if tap not in means:
            continue
        found, has_any = means[tap], True
        stage, number = stage_epochs(run)
        for place, epoch in enumerate(found["epoch"].values):
            if stages is not None and stage[epoch] not in stages:
                continue
            values = found.transpose("epoch", "pair").values[place]
            told = zip(found["pair"].values, values, strict=True)
            rows += [(run.variant, run.seed, stage[epoch], number[epoch], str(pair), float(value)) for pair, value in told if np.isfinite(value)]
    if not has_any:
        raise DataError("no run recorded correlations of pairs", expected="runs of delta_attention with has_correlation")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def stage_epochs(run: Run) -> tuple[dict[int, str], dict[int, int]]:
    """Of each epoch of a run: its stage's name, and its number within the stage, from 1."""
    history = run.trace["history"].to_dataset()
    epochs = [int(epoch) for epoch in history["epoch"].values]
    names = [str(name) or WHOLE for name in history["stage"].values] if "stage" in history else [WHOLE] * len(epochs)
    number, seen = {}, {}
    for epoch, name in zip(epochs, names, strict=True):
        seen[name] = seen.get(name, 0) + 1
        number[epoch] = seen[name]
    return dict(zip(epochs, names, strict=True)), number
