"""What does the delta change? The attention of a model with delta attention beside that of the same heads without the delta.

view = delta_view(run, data, modality="audio", sample=7)         one sample, one head: two maps, and where its cues were planted
moved = moved_weights(run, data)                                 every test sample: how much weight moved, and whether to the planted moments

The plain map is the trained head with its relative term left out. It is not a model that was trained without it.
"""

from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from workbench.data.batch import Dataset
from workbench.errors import ConfigError, unknown
from workbench.model import FusionModel
from workbench.probes.views import record_views, views
from workbench.runs import Run
from workbench.taps import record, taps

WEIGHTS, PLAIN, DELTA = "weights", "plain", "delta"
"""Leaves of the taps: with the relative term, without it, and the term itself (before the softmax)."""

BATCH = 32
"""Samples in a pass: maps of all heads and modalities are kept for so many at a time."""

COLUMNS = ("sample", "modality", "head", "moved", "inside", "inside_plain", "even")


def tap_name(modality: str, leaf: str) -> str:
    """`encoders.audio.attention.plain`."""
    return f"encoders.{modality}.attention.{leaf}"


def attending(model: FusionModel) -> list[str]:
    """The modalities whose encoders attend with and without a delta, in the card's order.

    Raises:
        ConfigError: there is none.
    """
    known = taps(model)
    found = [name for name in model.modalities if tap_name(name, PLAIN) in known and tap_name(name, WEIGHTS) in known]
    if not found:
        raise ConfigError("this model has no delta attention to look at", expected="a run of delta_attention")
    return found


def delta_view(
    source: Run | FusionModel, data: Dataset | Mapping[int, Dataset], *, modality: str, head: int = 0, sample: int = 0, split: str = "test"
) -> dict[str, Any]:
    """Both maps of one head for one sample, as `workbench.figures.delta_maps.delta_map` takes them.

    Args:
        source: a finished run, or a model, with delta attention.
        data: its data (of a run: by seed where each seed had its own draw).
        modality: whose steps.
        head: number of the head, from 0.
        sample: row of the split.
        split: which split.

    Returns:
        modality, head (from 1), sample (its id), plain and with_delta (`query key`, real steps), words, rate [Hz], windows (cue to first planted step
        and first step behind it, where that is known).

    Raises:
        ConfigError: the model has no delta attention, or not for this modality, or no such head.
    """
    model, whole, prepared = _settled(source, data)
    if modality not in attending(model):
        raise unknown("modality with delta attention", modality, attending(model))
    wanted = {leaf: tap_name(modality, leaf) for leaf in (PLAIN, WEIGHTS)}
    seen = {view["tap"]: view for view in views(record_views(model, prepared, rows=[sample], split=split))}
    maps = {leaf: np.nan_to_num(np.asarray(seen[tap]["values"], float)) for leaf, tap in wanted.items()}
    if not 0 <= head < len(maps[WEIGHTS]):
        raise ConfigError(f"there is no head {head}: {modality} has {len(maps[WEIGHTS])}", expected=f"0 to {len(maps[WEIGHTS]) - 1}")
    found = seen[wanted[WEIGHTS]]
    steps = next(iter(found["steps"].values()))
    return {
        "modality": modality, "head": head + 1, "sample": found["sample"], "plain": maps[PLAIN][head], "with_delta": maps[WEIGHTS][head],
        "words": steps["words"], "rate": steps["rate"], "windows": planted_windows(whole, split, modality, sample),
    }  # fmt: skip


def planted_windows(data: Dataset, split: str, modality: str, row: int) -> dict[str, tuple[int, int]]:
    """Where a sample's cues were planted in a modality: cue to its first step and the first step behind it; empty where that is not known.

    Known are the simulator's words and, on their own clock, its frames; steps of an aligned or tokenised view are other steps.
    """
    found, spec = data[split], data.spec.modalities[modality]
    windows = {}
    for name, values in found.evidence.items():
        if name.startswith(f"{modality}_") and name.endswith("_window") and spec.rate:
            windows[_cue(name, modality)] = (int(values[row][0]), int(values[row][1]))
        elif name.startswith(f"{modality}_") and name.endswith("_position") and spec.vocabulary:
            windows[_cue(name, modality)] = (int(values[row]), int(values[row]) + 1)
    return {cue: window for cue, window in windows.items() if window[0] >= 0}


def _cue(name: str, modality: str) -> str:
    return name.removeprefix(f"{modality}_").rpartition("_")[0]


def moved_weights(
    source: Run | FusionModel, data: Dataset | Mapping[int, Dataset], *, split: str = "test", modalities: Iterable[str] | None = None
) -> pd.DataFrame:
    """How much attention the delta moves in each sample, and how much of it lies on the planted moments with and without it.

    Args:
        source: a finished run, or a model, with delta attention.
        data: its data (of a run: by seed where each seed had its own draw).
        split: which split.
        modalities: of these only.

    Returns:
        One row a sample, modality and head: sample, modality, head (from 1); moved (total variation between a row with and without the delta, mean
        over the rows: the share of the weight that lies elsewhere, 0 to 1); inside, inside_plain (share of the weight on the planted steps, with and
        without; nan where nothing is planted or that is not known); even (the planted steps' share of all steps).

    Raises:
        ConfigError: the model has no delta attention.
    """
    model, whole, prepared = _settled(source, data)
    asked = [name for name in attending(model) if modalities is None or name in modalities]
    patterns = [tap_name(name, leaf) for name in asked for leaf in (PLAIN, WEIGHTS)]
    found, rows = prepared[split], []
    device = next(model.parameters()).device
    with torch.no_grad(), evaluating(model):
        for batch in found.to(device, is_resident=False).batches(BATCH):
            with record(model, *patterns) as trace:
                model(batch)
            seen = trace.dataset()
            for name in asked:
                rows += _rows(seen, name, batch[name].mask.cpu().numpy(), batch.index.tolist(), whole, split)
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(
        ["modality", "head", "sample"],
        kind="stable",
        key=lambda column: column.map(asked.index) if column.name == "modality" else column,
        ignore_index=True,
    )


def _settled(source: Run | FusionModel, data: Dataset | Mapping[int, Dataset]) -> tuple[FusionModel, Dataset, Dataset]:
    """The model, its data as it was loaded, and as the model saw it."""
    whole = data if isinstance(data, Dataset) else data[source.seed]
    return (source.model(), whole, source.prepared(whole)) if isinstance(source, Run) else (source, whole, whole)


@contextmanager
def evaluating(model: FusionModel):  # noqa: ANN201 - yields nothing
    """The model in evaluation mode inside the block, as it was behind it."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _rows(seen: xr.Dataset, modality: str, real: np.ndarray, index: list[int], data: Dataset, split: str) -> Iterable[tuple]:
    """One modality of one batch (see `moved_weights`)."""
    plain, with_delta = (np.nan_to_num(seen[tap_name(modality, leaf)].values.astype(float)) for leaf in (PLAIN, WEIGHTS))
    for place, row in enumerate(index):
        steps = real[place]
        if not steps.any():
            continue  # the sample lacks the modality
        windows = planted_windows(data, split, modality, row)
        planted = np.zeros(len(steps), bool)
        for start, end in windows.values():
            planted[start:end] = True
        planted &= steps
        for head in range(with_delta.shape[1]):
            # A row without a key inside its window looks at nothing.
            looks = steps & (with_delta[place, head].sum(-1) > 0)
            if not looks.any():
                continue
            with_, without = with_delta[place, head][looks], plain[place, head][looks]
            inside = [float(table[:, planted].sum(1).mean()) if planted.any() else np.nan for table in (with_, without)]
            moved = float(0.5 * np.abs(with_ - without).sum(1).mean())
            even = float(planted.sum() / steps.sum()) if planted.any() else np.nan
            yield data[split].ids[row], modality, head + 1, moved, *inside, even
