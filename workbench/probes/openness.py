"""How far do gates stand open, layer by layer? Of a trained model over samples, and of a training over epochs.

frame = gates_by_layer(runs, data)          # gate, layer, modality, sample, value
figures.gates_by_layer(frame)

A gate's value is the mean over its features (and, of a gate that each step has for itself, over the real steps): 0 is closed, 1 lets all pass.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from workbench.data.batch import Dataset, Split
from workbench.errors import ConfigError, DataError
from workbench.probes.by_class import record_split
from workbench.runs import Run
from workbench.taps import taps

TAP = "fusion.openness"
"""Where a fusion shows its gates: `fusion.openness.<layer from 0>.<gate>`, one number a sample and modality."""

GATES = {
    "retain": "stream retain",
    "compound": "stream compound",
    "screening": "stream screening",
    "unimodal_retain": "own retain",
    "unimodal_compound": "own compound",
}
"""What the gates are called: g_r, g_c and g_s of the streams of the centre, g_r and g_c of a modality's own layers."""

SINGLE = re.compile(r"fusion\.(fused|unimodal)\.(.+)\.layers\.(\d+)\.(retain|compound)")
"""Taps of single features: `sample feature`."""

COLUMNS = ("variant", "seed", "gate", "layer", "modality")


def has_openness(run: Run) -> bool:
    """True for a run whose model shows gates by layer."""
    return any(name.startswith(f"{TAP}.") for name in taps(run.model()))


def gates_by_layer(runs: Iterable[Run], data: Dataset | Mapping[int, Dataset], *, split: str = "test") -> pd.DataFrame:
    """Every gate of every layer for every sample, with the weights of the best epoch.

    Args:
        runs: finished runs of a method with gates by layer (mmiln).
        data: their data (by seed where each seed had its own draw).
        split: which split.

    Returns:
        One row a number: variant, seed, gate, layer (from 1), modality, sample, value; samples that lack the modality have no row (those that lack
        the centre have: its stream begins with one empty step).

    Raises:
        ConfigError: a run's model has no such gates.
    """
    parts = []
    for run in runs:
        seen = record_split(run, data, f"{TAP}.*", split=split)
        found = run.prepared(data)[split]
        frames = [_named(values.to_dataframe("value").reset_index(), str(name)) for name, values in seen.items()]
        frame = _without_missing(pd.concat(frames, ignore_index=True), found)
        parts.append(frame.assign(variant=run.variant, seed=run.seed))
    return _joined(parts, "sample")


def gates_by_epoch(runs: Iterable[Run]) -> pd.DataFrame:
    """Every gate of every layer after each epoch, mean over the valid split as it was recorded: samples that lack the modality are in it.

    Returns:
        One row a number: variant, seed, gate, layer (from 1), modality, epoch, value.

    Raises:
        DataError: no run recorded such gates.
    """
    parts = []
    for run in runs:
        means = run.trace["tap_means"].to_dataset() if "tap_means" in run.trace else {}
        frames = [_named(means[name].to_dataframe("value").reset_index(), str(name)) for name in means if str(name).startswith(f"{TAP}.")]
        parts += [frame.dropna(subset="value").assign(variant=run.variant, seed=run.seed) for frame in frames]
    return _joined(parts, "epoch")


def gate_movement(runs: Iterable[Run], data: Dataset | Mapping[int, Dataset], *, split: str = "test") -> pd.DataFrame:
    """How far a single feature's gate moves from sample to sample: its standard deviation, root mean square over the features.

    The mean over the features hides features that move against each other; a gate that looks at no sample has zero here. Of gates that are the same
    at every step (retain and compound), over the samples that have the modality.

    Returns:
        One row a number: variant, seed, gate, layer (from 1), modality, value; none where fewer than two samples have the modality.

    Raises:
        ConfigError: a run's model has no such gates.
    """
    rows = []
    for run in runs:
        if not has_openness(run):
            raise ConfigError(f"the model of run {run.id} has no gates by layer", expected="mmiln with has_gates=True")
        seen = record_split(run, data, "fusion.*.layers.*.retain", "fusion.*.layers.*.compound", split=split)
        there = _present(run.prepared(data)[split])
        for name, values in seen.items():
            stream, modality, layer, gate = SINGLE.fullmatch(str(name)).groups()
            known, values = GATES[gate if stream == "fused" else f"unimodal_{gate}"], values[there[modality]]
            if len(values) > 1:
                rows.append((run.variant, run.seed, known, int(layer) + 1, modality, float((values.var("sample", ddof=1).mean()) ** 0.5)))
    return pd.DataFrame(rows, columns=[*COLUMNS, "value"])


def _named(frame: pd.DataFrame, tap: str) -> pd.DataFrame:
    """The rows with the gate's name and layer, read from the tap's name."""
    layer, gate = re.fullmatch(rf"{re.escape(TAP)}\.(\d+)\.(\w+)", tap).groups()
    return frame.assign(layer=int(layer) + 1, gate=GATES.get(gate, gate))


def _without_missing(frame: pd.DataFrame, split: Split) -> pd.DataFrame:
    """Without the rows of samples that lack the modality: its own gates stand at sigmoid(0) = .5 there, the screening gate at 0."""
    there = {name: dict(zip(split.ids, values.tolist(), strict=True)) for name, values in _present(split).items()}
    return frame[[there[name][sample] for name, sample in zip(frame["modality"], frame["sample"], strict=True)]]


def _present(split: Split) -> dict[str, np.ndarray]:
    """By modality, which samples have it: at least one step that is there and not missing."""
    return {name: column.is_there.cpu().numpy() for name, column in split.columns.items()}


def _joined(parts: list[pd.DataFrame], along: str) -> pd.DataFrame:
    """All parts under the agreed columns."""
    if not parts:
        raise DataError("no run recorded gates by layer", expected="runs of a method that shows them (mmiln)")
    return pd.concat(parts, ignore_index=True)[[*COLUMNS, along, "value"]]
