"""What do losses hold together and apart, layer by layer? The discrepancy and the overlap inside a trained model, before their weights.

frame = constraints_by_layer(runs, data)        quantity, layer, between, value
"""

from collections.abc import Iterable, Mapping

import pandas as pd
import torch

from workbench.data.batch import Dataset
from workbench.runs import Run
from workbench.taps import record, taps

TAPS = {"fusion.discrepancy": "discrepancy of two streams (Eq. 25)", "fusion.overlap": "overlap of stream and modality (Eq. 26)"}
"""Taps with one number a layer and pair (or modality), and what they are called."""


def constraints_by_layer(runs: Iterable[Run], data: Dataset | Mapping[int, Dataset], *, split: str = "test") -> pd.DataFrame:
    """The unweighted terms of every layer, means over batches as large as in training (both terms depend on that).

    A weight of zero leaves a term measured, so that models trained with and without it can be compared.

    Args:
        runs: finished runs; those whose model computes no such term have no row.
        data: their data (by seed where each seed had its own draw).
        split: which split.

    Returns:
        One row a number: variant, seed, quantity, layer (from 1), between (pair or modality), value.
    """
    rows = []
    for run in runs:
        found = run.prepared(data)[split]
        model = run.model()
        there = [name for name in TAPS if name in taps(model)]
        if there:
            parts = _of_batches(model, found, run.config["plan"]["batch_size"], there)
            rows += [(run.variant, run.seed, TAPS[name], int(layer) + 1, str(pair), value) for name, layer, pair, value in parts]
    frame = pd.DataFrame(rows, columns=["variant", "seed", "quantity", "layer", "between", "value"])
    return frame.groupby(["variant", "seed", "quantity", "layer", "between"], sort=False, as_index=False)["value"].mean()


@torch.no_grad()
def _of_batches(model, split, size: int, names: list[str]):  # noqa: ANN001, ANN202 - a FusionModel and a Split; yields tap, layer, pair, value
    """Each tap of each whole batch; a last batch that is shorter is left out, but where it is the only one."""
    model.eval()
    for batch in split.batches(min(size, len(split))):
        if len(batch) < min(size, len(split)):
            continue
        with record(model, *names) as trace:
            model(batch)
        for name, values in trace.dataset().items():
            if values.size:
                for (layer, pair), value in values.to_series().items():
                    yield name, layer, pair, float(value)
