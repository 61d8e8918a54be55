"""What a finished training leaves on disk: scores, labelled traces, weights, and what it was made with."""

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from workbench.data.batch import Dataset, TaskSpec
from workbench.model import FusionModel
from workbench.plan import Plan
from workbench.runs import Workspace
from workbench.stages import WHOLE, Stage, entered
from workbench.surroundings import git_revision, versions
from workbench.taps import record, taps
from workbench.tasks import Task, make_task
from workbench.tracing import QUANTITIES
from workbench.training import predict

if TYPE_CHECKING:
    from workbench.fitting import Progress
    from workbench.ordering import Order


SCORED = ("valid", "test")
"""The splits that a finished run is scored on."""


def watched(model: FusionModel) -> list[str]:
    """The taps with one number a modality and sample, or one a pair of modalities: small enough to record in every epoch."""
    return [name for name, tap in taps(model).items() if set(tap.axes) in ({"batch", "modality"}, {"pair"})]


def epoch_means(seen: xr.Dataset, modalities: Sequence[str]) -> dict[str, Any]:
    """What the watched taps said in an epoch, as plain numbers: means over the samples, by modality, and numbers by pair."""
    by_modality = {str(name): values for name, values in seen.data_vars.items() if "modality" in values.dims}
    by_pair = {str(name): values for name, values in seen.data_vars.items() if "pair" in values.dims}
    means = {name: values.mean("batch").reindex(modality=list(modalities)).values.tolist() for name, values in by_modality.items()}
    pairs = {name: dict(zip(values["pair"].values.tolist(), values.values.tolist(), strict=True)) for name, values in by_pair.items()}
    return {"tap_means": means, "pair_means": pairs}


def packed(dataset: xr.Dataset) -> dict[str, Any]:
    """Labelled arrays as tensors and plain containers, for a checkpoint that is read with `weights_only`."""
    variables = {str(name): (list(array.dims), torch.from_numpy(array.values.copy())) for name, array in dataset.data_vars.items()}
    return {"variables": variables, "coords": {str(name): array.values.tolist() for name, array in dataset.coords.items()}}


def unpacked(saved: dict[str, Any]) -> xr.Dataset:
    """The labelled arrays of `packed`."""
    return xr.Dataset({name: (dims, values.numpy()) for name, (dims, values) in saved["variables"].items()}, saved["coords"])


def finish(space: Workspace, model: FusionModel, data: Dataset, wanted: "Order", progress: "Progress") -> Path:
    """Scores the best epoch (the only time that test is touched), writes every file, and makes the folder the run."""
    from safetensors.torch import save

    device = next(model.parameters()).device
    task = make_task(data.spec.task, loss=wanted.plan.loss)
    metrics: dict[str, Any] = {
        "best_epoch": best_epoch(progress.epochs[progress.counted_from - 1 :], progress.epochs[-1]["stage"])["number"],
        "epochs": len(progress.epochs),
        "seconds": sum(epoch["seconds"] for epoch in progress.epochs),
    }
    metrics |= {"parameters": sum(p.numel() for p in model.parameters()), "balance": progress.facts}
    groups = trace_groups(progress, model)
    data = data.to(device)
    for name in SCORED:
        if name in data.splits:
            split = data[name]
            with record(model, *watched(model)) as trace:
                said = predict(model, split, wanted.plan).prediction
            metrics[name] = scores(task, said, split.target)
            groups[f"predictions/{name}"] = prediction_table(said, split.target, split.ids, data.spec.task)
            if name == "valid" and watched(model):
                groups["taps"] = trace.dataset()
    if wanted.known != (WHOLE,):
        whole = {name: metrics[name] for name in SCORED if name in metrics}
        metrics["stages"] = {stage.name: stage_facts(model, data, stage, wanted.plan, task, progress.epochs, whole) for stage in wanted.known}
    trace_bytes = in_memory(xr.DataTree.from_dict(groups))
    space.write("trace.nc", lambda path: path.write_bytes(trace_bytes))
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    space.write("model.safetensors", lambda path: path.write_bytes(save(weights)))
    space.write("metrics.json", lambda path: path.write_text(json.dumps(without_nan(metrics), indent=1, allow_nan=False)))
    return space.finish()


def in_memory(tree: xr.DataTree) -> memoryview:
    """The tree as the bytes of a netCDF file: an HDF5 file that a full disk breaks off would end the whole process when Python collects it."""
    try:
        from dask import config
    except ImportError:
        return tree.to_netcdf(engine="h5netcdf")
    # In a dask worker xarray asks the scheduler for a lock by the file's name, and bytes have none.
    with config.set(scheduler="synchronous"):
        return tree.to_netcdf(engine="h5netcdf")


def scores(task: Task, said: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    """Loss and all metrics."""
    return {"loss": float(task.loss(said, target)), **task.metrics(said, target)}


def best_epoch(epochs: Sequence[dict[str, Any]], stage: str) -> dict[str, Any]:
    """The epoch of a stage with the lowest valid loss."""
    return min((epoch for epoch in epochs if epoch["stage"] == stage), key=lambda epoch: epoch["metrics"]["valid"]["loss"])


def stage_facts(
    model: FusionModel,
    data: Dataset,
    stage: Stage,
    plan: Plan,
    task: Task,
    epochs: Sequence[dict[str, Any]],
    whole: dict[str, dict[str, float]],
) -> dict[str, Any]:
    """How a stage was trained (0 epochs: it came from another run), and what its own readout scores at the end; the head's scores are `whole`."""
    own = [epoch for epoch in epochs if epoch["stage"] == stage.name]
    facts: dict[str, Any] = {"epochs": len(own), "seconds": sum(epoch["seconds"] for epoch in own)}
    facts["best_epoch"] = best_epoch(own, stage.name)["number"] if own else None
    if not stage.reads:
        return facts | whole
    with entered(model, stage):
        return facts | {name: scores(task, predict(model, data[name], plan).prediction, data[name].target) for name in SCORED if name in data.splits}


def without_nan(value: Any) -> Any:
    """The same containers with null for every nan: a metric that is not defined (strict JSON has no NaN)."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def prediction_table(prediction: torch.Tensor, target: torch.Tensor, ids: Sequence[str], task: TaskSpec) -> xr.Dataset:
    """Predictions and truth by sample id: a class stands as its number; labels as 0 and 1 (truth) and as probabilities (prediction)."""
    values, coords = prediction.detach().float().cpu(), {"sample": list(ids)}
    if task.kind == "multilabel":
        dims, coords = ("sample", "label"), {**coords, "label": list(task.classes)}
        return xr.Dataset({"prediction": (dims, values.sigmoid().numpy()), "target": (dims, target.float().cpu().numpy())}, coords)
    if task.kind == "regression":
        return xr.Dataset({"prediction": ("sample", values.numpy()), "target": ("sample", target.float().cpu().numpy())}, coords)
    return xr.Dataset({"prediction": ("sample", values.argmax(1).numpy()), "target": ("sample", target.cpu().numpy())}, coords)


def trace_groups(progress: "Progress", model: FusionModel) -> dict[str, xr.Dataset]:
    """History, steps, probes, tap means and what the balancing rule knew, as labelled arrays."""
    names, numbers = list(model.modalities), [epoch["number"] for epoch in progress.epochs]
    scores = pd.DataFrame(
        [
            (epoch["number"], split, metric, value)
            for epoch in progress.epochs
            for split, values in epoch["metrics"].items()
            for metric, value in values.items()
        ],
        columns=["epoch", "split", "metric", "score"],
    )
    history = scores.set_index(["epoch", "split", "metric"]).to_xarray()
    for fact in ("seconds", "probe_seconds", "learning_rate"):
        history[fact] = ("epoch", [epoch[fact] for epoch in progress.epochs])
    if any(epoch["stage"] for epoch in progress.epochs):
        history["stage"] = ("epoch", [epoch["stage"] for epoch in progress.epochs])
    for term in dict.fromkeys(term for epoch in progress.epochs for term in epoch["auxiliary"]):
        history[f"loss_{term}"] = ("epoch", [epoch["auxiliary"].get(term, math.nan) for epoch in progress.epochs])
    groups = {"history": history}
    if progress.steps:
        steps = torch.cat(progress.steps).numpy()
        epoch = np.repeat(numbers, [len(part) for part in progress.steps])
        coords = {"step": np.arange(1, len(steps) + 1), "quantity": list(QUANTITIES), "modality": names, "epoch": ("step", epoch)}
        groups["steps"] = xr.Dataset({"trace": (("step", "quantity", "modality"), steps)}, coords)
    probed = [epoch for epoch in progress.epochs if epoch["probes"]]
    if probed:
        values = [[epoch["probes"].get(name, math.nan) for name in names] for epoch in probed]
        groups["probes"] = xr.Dataset({"score": (("epoch", "modality"), values)}, {"epoch": [epoch["number"] for epoch in probed], "modality": names})
    if progress.snapshots:
        groups["snapshots"] = xr.concat([unpacked(saved) for saved in progress.snapshots], dim="epoch").assign_coords(epoch=numbers)
    tap_names = dict.fromkeys(name for epoch in progress.epochs for name in epoch["tap_means"])
    if tap_names:
        unseen = [math.nan] * len(names)
        means = {name: (("epoch", "modality"), [epoch["tap_means"].get(name, unseen) for epoch in progress.epochs]) for name in tap_names}
        groups["tap_means"] = xr.Dataset(means, {"epoch": numbers, "modality": names})
    known = by_epoch(progress.epochs, "rule", "quantity", "term")
    if len(known):
        groups["rule"] = known.set_index(["epoch", "quantity", "term"]).to_xarray()
    pairs = by_epoch(progress.epochs, "pair_means", "tap", "pair")
    if len(pairs):
        groups["pair_means"] = pairs.pivot(index=["epoch", "pair"], columns="tap", values="value").to_xarray()
    return groups


def by_epoch(epochs: Sequence[dict[str, Any]], field: str, outer: str, inner: str) -> pd.DataFrame:
    """Numbers of two names in each epoch's record, one row a number: epoch, `outer`, `inner`, value."""
    rows = [(epoch["number"], first, second, value) for epoch in epochs for first, values in epoch[field].items() for second, value in values.items()]
    return pd.DataFrame(rows, columns=["epoch", outer, inner, "value"])


def describe(wanted: "Order", data: Dataset, identity: dict[str, Any]) -> dict[str, Any]:
    """config.json: the identity, and where, when and with what it ran."""
    return {
        **identity,
        "variant": wanted.variant,
        "preset": wanted.preset,
        "plan": wanted.plan.values(),
        "headline": make_task(data.spec.task).headline,
        "spec": asdict(data.spec),
        "counts": {name: len(split) for name, split in data.splits.items()},
        "notes": json.loads(json.dumps(data.notes, default=str)),
        "ceiling": data.ceiling,
        "environment": environment(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def environment() -> dict[str, str]:
    """Versions, machine and git revision of what runs."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {**versions(), "gpu": gpu, "threads": str(torch.get_num_threads()), "git": git_revision(Path(__file__).parent)}


def fingerprint(data: Dataset) -> str:
    """Sixteen characters that change with any number, label or length of the data, and with nothing else."""
    digest = hashlib.sha256()
    for name, split in data.splits.items():
        digest.update(name.encode() + split.target.cpu().numpy().tobytes())
        for modality, column in split.columns.items():
            digest.update(f"{modality} {column.sum()}".encode())
    return digest.hexdigest()[:16]
