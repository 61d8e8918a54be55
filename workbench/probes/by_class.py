"""Does what a trained model shows of itself depend on the class? Its taps over a whole split, averaged by class.

seen = record_split(run, data, "fusion.attention.attention")
found = by_class(seen["fusion.attention.attention"].mean("head"), classes_of(data))
figures.matrices_by_class(found, quantity="attention weight")
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from scipy import stats

from workbench.data.batch import Dataset
from workbench.errors import ConfigError, DataError
from workbench.model import FusionModel
from workbench.runs import Run
from workbench.taps import record

SIGNS = ("negative", "neutral", "positive")
"""Classes of a score: below, at and above zero."""

LEVEL = 0.05
"""Intervals are of 1 - LEVEL."""


def record_split(
    source: Run | FusionModel, data: Dataset | Mapping[int, Dataset], *patterns: str, split: str = "test", batch_size: int = 128
) -> xr.Dataset:
    """Some taps of a model over all samples of a split, in evaluation mode.

    Args:
        source: a finished run, or a model.
        data: the data it was trained on (of a run: by seed where each seed had its own draw).
        patterns: names of taps, `*` matches any part (see `workbench.taps.record`).
        split: which split.
        batch_size: samples in a pass.

    Returns:
        A variable for each tap under its name, first axis `sample`; what is shorter than the longest batch is filled with nan.

    Raises:
        ConfigError: a pattern matches no tap; or a tap has no sample axis, or passes several times for each batch.
    """
    model = source.model() if isinstance(source, Run) else source
    data = data if isinstance(data, Dataset) else data[source.seed]
    found = (source.prepared(data) if isinstance(source, Run) else data)[split]
    device, was_training = next(model.parameters()).device, model.training
    try:
        with torch.no_grad(), record(model.eval(), *patterns) as trace:
            for batch in found.to(device, is_resident=False).batches(batch_size):
                model(batch)
    finally:
        model.train(was_training)
    seen = trace.dataset()
    for name, values in seen.items():
        if values.dims[0] != "batch" or values.sizes["batch"] != len(found):
            raise ConfigError(f"the tap {name} does not give one value a sample", expected="a tap whose first axis is batch, in a module called once")
    return seen.rename(batch="sample").assign_coords(sample=list(found.ids))


def classes_of(data: Dataset, split: str = "test") -> xr.DataArray:
    """Which sample is in which class, `sample class`, True and False: the classes, each label of several, or the sign of a score.

    Classes without a sample are left out.
    """
    found, task = data[split], data.spec.task
    target = found.target.cpu().numpy()
    if task.kind == "regression":
        names, members = SIGNS, np.sign(target)[:, None] == np.array([-1, 0, 1])
    elif task.kind == "multiclass":
        names, members = task.classes, target[:, None] == np.arange(len(task.classes))
    else:
        names, members = task.classes, target > 0.5
    kept = members.any(0)
    names = [name for name, is_kept in zip(names, kept, strict=True) if is_kept]
    return xr.DataArray(members[:, kept], dims=("sample", "class"), coords={"sample": list(found.ids), "class": names})


def by_class(values: xr.DataArray, members: xr.DataArray) -> xr.Dataset:
    """Means of a view in each class, and how far each is from all other samples.

    A sample may be in several classes: each class is compared with the samples that are not in it (Welch's t). Those intervals hold for all classes
    and cells at once (Bonferroni), so that one found among many is found.

    Args:
        values: `sample ...`; nan where a sample has no value.
        members: `sample class`, see `classes_of`.

    Returns:
        mean, low, high (`class ...`, 95 % interval over samples); apart, apart_low, apart_high (`class ...`); n (`class`); attribute unit.

    Raises:
        DataError: the samples are not the same ones, or there is none.
    """
    if values.dims[0] != "sample" or members.dims != ("sample", "class") or len(values) != len(members) or not values.size:
        raise DataError(f"by_class got values of shape {values.shape} for members of shape {members.shape}", expected="sample ..., and sample class")
    table, inside = values.values.astype(float), members.values.astype(bool)
    rest = {dim: values[dim].values for dim in values.dims[1:] if dim in values.coords}
    count = _comparisons(table, inside.shape[1])
    parts = []
    for place in range(inside.shape[1]):
        own, others = table[inside[:, place]], table[~inside[:, place]]
        parts.append((*interval(own), *welch(own, others, LEVEL / count)))
    stacked = [np.stack(column) for column in zip(*parts, strict=True)]
    names = ("mean", "low", "high", "apart", "apart_low", "apart_high")
    dims = ("class", *values.dims[1:])
    arrays = {name: (dims, column) for name, column in zip(names, stacked, strict=True)} | {"n": (("class",), inside.sum(0))}
    return xr.Dataset(arrays, coords={"class": members["class"].values, **rest}, attrs={"unit": "sample", "samples": len(table)})


def by_class_over_seeds(found: Sequence[xr.Dataset]) -> xr.Dataset:
    """The same table over several runs: means of the runs' means, with intervals over the runs. One run stays as it is.

    Args:
        found: one table a run, see `by_class`.

    Raises:
        DataError: there is no table.
    """
    if not found:
        raise DataError("by_class_over_seeds got no table", expected="one a run")
    if len(found) == 1:
        return found[0]
    joined = xr.concat(list(found), dim="run", join="outer", fill_value={"n": 0}, combine_attrs="drop")
    mean, low, high = interval(joined["mean"].values)
    differences = joined["apart"].values
    apart = interval(differences, LEVEL / _comparisons(differences.reshape(-1, *differences.shape[2:]), joined.sizes["class"]))
    dims = joined["mean"].dims[1:]
    names = ("mean", "low", "high", "apart", "apart_low", "apart_high")
    arrays = {name: (dims, column) for name, column in zip(names, (mean, low, high, *apart), strict=True)}
    arrays["n"] = (("class",), joined["n"].sum("run").values.astype(int))
    samples = sum(table.attrs["samples"] for table in found)
    coords = {name: values for name, values in joined.coords.items() if name != "run"}
    return xr.Dataset(arrays, coords=coords, attrs={"unit": "seed", "samples": samples, "seeds": len(found)})


def _comparisons(table: np.ndarray, classes: int) -> int:
    """Comparisons that are made: cells that differ between samples, for every class (two classes are compared once)."""
    varies = np.nan_to_num(np.fmax.reduce(table, axis=0) - np.fmin.reduce(table, axis=0)) > 0
    return max(1, int(np.sum(varies)) * (1 if classes == 2 else classes))


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over the first axis and its interval by Student's t, nan left out; of fewer than two values there is no interval."""
    n, mean, variance = _moments(values)
    half = _reach(n - 1, level) * np.sqrt(variance / np.maximum(n, 1))
    return mean, mean - half, mean + half


def welch(first: np.ndarray, second: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Difference of two means over the first axis, and its interval by Welch's t; groups of fewer than two values have none."""
    (n, mean, variance), (m, other, spread) = _moments(first), _moments(second)
    a, b = variance / np.maximum(n, 1), spread / np.maximum(m, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = (a + b) ** 2 / (a**2 / np.maximum(n - 1, 1) + b**2 / np.maximum(m - 1, 1))
    # Where nothing varies there is no t: the difference is what it is.
    half = np.where(a + b > 0, _reach(np.where(np.isfinite(freedom), freedom, 1.0), level) * np.sqrt(a + b), 0.0)
    half = np.where((n > 1) & (m > 1), half, np.nan)
    return mean - other, mean - other - half, mean - other + half


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and variance (of a sample) over the first axis, nan left out."""
    known = np.isfinite(values)
    n = known.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, values, 0.0).sum(0) / n
        variance = np.where(known, (values - mean) ** 2, 0.0).sum(0) / (n - 1)
    return n, mean, np.where(n > 1, variance, np.nan)


def _reach(freedom: np.ndarray, level: float) -> np.ndarray:
    """Student's quantile; nan without a degree of freedom."""
    return np.where(freedom > 0, stats.t.ppf(1 - level / 2, np.maximum(freedom, 1e-9)), np.nan)
