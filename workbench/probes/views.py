"""What a trained model lets be seen for some samples: every tap, with words and seconds on the axes of steps.

seen = record_views(run, data, sample=7)
for view in views(seen):
    show(draw_view(view))
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

import numpy as np
import torch
import xarray as xr

from workbench.data.batch import Batch, Dataset, ModalitySpec, Split
from workbench.errors import ConfigError
from workbench.model import FusionModel
from workbench.runs import Run
from workbench.taps import record, taps

PAIRS = {"specific": "shared", "private": "shared"}
"""Taps of vectors that are drawn together with another one of the same module."""

ADDED = "added token"
"""What a token is called that is no step of a modality."""

OTHERS = 23
"""Samples that are recorded beside the one that is asked for: views over samples need some."""


def record_views(source: Run | FusionModel, data: Dataset, rows: Iterable[int] | None = None, *, sample: int = 0, split: str = "valid") -> xr.Dataset:
    """Every tap of a model for some samples, in one forward pass in evaluation mode.

    Args:
        source: a finished run, or a model.
        data: the data it was trained on (for a model: as its builder saw it).
        rows: row numbers in the split; None: `sample` first, then the first others (23 at most) of the split.
        sample: the row that comes first where no rows are given.
        split: which split.

    Returns:
        A variable for each tap under its name (first axis `sample`; other axes without names are called `<tap>.<axis>`; attributes: axes) and, for
        each modality with steps, `<modality>:real` (`sample <modality>_time`), `<modality>:words` where there are words; attributes of the data
        set: modalities, `<modality>:rate` [Hz] where it is known.

    Raises:
        ConfigError: the model has no tap, no row is asked for, or one that the split does not have.
    """
    model = source.model() if isinstance(source, Run) else source
    data = source.prepared(data) if isinstance(source, Run) else data
    found = data[split]
    chosen = torch.as_tensor(_chosen(rows, sample, found), dtype=torch.int64)
    if not taps(model):
        raise ConfigError("this model has no tap: it holds nothing between its parts to look at", do="ask data_path for its drawing")
    batch = found.batch(chosen)
    seen = _recorded(model, batch)
    seen = seen.assign_coords(sample=[found.ids[i] for i in chosen.tolist()])
    for name in model.modalities:
        seen = _with_steps(seen, name, data, found, batch, chosen.tolist())
    return seen.assign_attrs(modalities=list(model.modalities))


def _chosen(rows: Iterable[int] | None, sample: int, split: Split) -> list[int]:
    """The row numbers that are recorded."""
    others = (row for row in range(len(split)) if row != sample)
    chosen = [sample, *islice(others, OTHERS)] if rows is None else list(rows)
    if not chosen:
        raise ConfigError("record_views was asked for no row", expected="row numbers, e.g. rows=range(20)")
    for row in chosen:
        if not 0 <= row < len(split):
            raise ConfigError(f"there is no row {row} in {split.name}: it has {len(split)} samples", expected=f"0 to {len(split) - 1}")
    return chosen


def _recorded(model: FusionModel, batch: Batch) -> xr.Dataset:
    """The taps of one pass. A module that is called several times gives a variable a call: `tap`, `tap (call 2)`, ..."""
    was_training, known = model.training, taps(model)
    device = next(model.parameters()).device
    batch = Batch({name: each.to(device) for name, each in batch.modalities.items()}, batch.target.to(device), batch.index.to(device))
    try:
        with ExitStack() as stack, torch.no_grad():
            # A trace each: taps of one model may be called more often than others, and name different things along one axis.
            traces = {name: stack.enter_context(record(model.eval(), name)) for name in known}
            model(batch)
    finally:
        model.train(was_training)
    arrays = {}
    for name, trace in traces.items():
        if name not in (found := trace.dataset()):
            continue  # its module did not run
        array, axes = found[name], known[name].axes
        calls = array.sizes["batch"] // len(batch) if axes[0] == "batch" else 1
        for call in range(calls):
            part = array.isel(batch=slice(call * len(batch), (call + 1) * len(batch))).rename(batch="sample") if axes[0] == "batch" else array
            title = name if call == 0 else f"{name} (call {call + 1})"
            arrays[title] = part.assign_attrs(axes=["sample" if axis == "batch" else axis for axis in axes])
    # Taps of one model may name different things along one axis (all modalities, all but the centre): such an axis gets the tap's name.
    shared = {dim: [arrays[name] for name in arrays if dim in arrays[name].dims] for dim in {d for a in arrays.values() for d in a.dims} - {"sample"}}
    for dim, users in shared.items():
        if any(list(user[dim].values) != list(users[0][dim].values) for user in users):
            arrays = {name: array.rename({dim: f"{name}.{dim}"}) if dim in array.dims else array for name, array in arrays.items()}
    return xr.Dataset(arrays)


def _with_steps(seen: xr.Dataset, name: str, data: Dataset, split: Split, batch: Batch, rows: Sequence[int]) -> xr.Dataset:
    """The data set with what is known of a modality's steps."""
    spec = data.spec.modalities[name]
    real = batch[name].mask.cpu().numpy()
    seen[f"{name}:real"] = (("sample", f"{name}_time"), real)
    words = step_words(name, spec, split, rows, notes=data.notes)
    if words is not None:
        filled = [[*found, *[""] * (real.shape[1] - len(found))] for found in words]
        seen[f"{name}:words"] = (("sample", f"{name}_time"), np.array(filled, dtype=object))
    return seen.assign_attrs({f"{name}:rate": spec.rate}) if spec.rate else seen


def step_words(name: str, spec: ModalitySpec, split: Split, rows: Sequence[int], *, notes: Mapping[str, object]) -> list[list[str]] | None:
    """The strings of each sample's steps, where they are known: the vocabulary's, the tokenizer's, or the words of the sentence one by one."""
    column = split.columns[name]
    if spec.vocabulary:
        return [[spec.vocabulary[number] if number < len(spec.vocabulary) else str(number) for number in column[row].tolist()] for row in rows]
    model = spec.text_model or (re.sub(r"^frozen ", "", str(notes["text"])) if name == "text" and "text" in notes else None)
    if model and (spec.kind == "tokens" or split.texts is not None):
        from workbench.text import load_tokenizer, tokenise

        tokenizer = load_tokenizer(model)
        ids = column if spec.kind == "tokens" else tokenise(tokenizer, [split.texts[row] for row in rows])
        found = [tokenizer.convert_ids_to_tokens(ids[row if spec.kind == "tokens" else i].tolist()) for i, row in enumerate(rows)]
    elif name == "text" and spec.kind == "sequence" and split.texts is not None:
        found = [split.texts[row].split() for row in rows]
    else:
        return None
    return found if all(len(words) == int(column.lengths[row]) for words, row in zip(found, rows, strict=True)) else None


def kinds_of(seen: xr.Dataset) -> dict[str, str]:
    """The view that fits each tap, by its axes: attention, gate, gates, adjacency, factors, spaces or weights; taps that none fits are left out."""
    found = {str(name): _kind(str(name), array) for name, array in seen.items() if "axes" in array.attrs}
    return {name: kind for name, kind in found.items() if kind}


def _kind(name: str, array: xr.DataArray) -> str:
    """By the axes behind `sample` (and `head`), and whether the tap is called a gate."""
    axes = [axis for axis in array.attrs["axes"] if axis not in ("sample", "head")]
    if not array.size:
        return ""
    steps = [_is_step(axis) for axis in axes]
    if len(axes) == 2 and all(steps):
        return "attention"
    if len(axes) == 2 and axes[1] == f"{axes[0]}_attended":
        return "adjacency"
    if axes and steps[0] and not any(steps[1:]) and len(axes) <= 3:
        return "gate"
    if axes == ["modality", "feature"] and array.attrs["axes"][0] == "sample":
        return "gates" if name.partition(" (")[0].endswith("gate") else "spaces"
    if axes == ["feature"] and array.attrs["axes"][0] == "sample":
        return "gates"
    if len(axes) == 2:
        return "factors"
    return "weights" if len(axes) == 1 and _last(array) in array.coords else ""


def _is_step(axis: str) -> bool:
    """True for an axis of steps: `text_time`, `text_time_attended`, `token`."""
    plain = axis.removesuffix("_attended")
    return plain.endswith("_time") or plain == "token"


def _last(array: xr.DataArray) -> str:
    return str(array.dims[-1])


def views(seen: xr.Dataset, *, sample: int = 0) -> list[dict[str, Any]]:
    """A view of each tap, in the order of the taps, as `workbench.figures.views.draw_view` takes it.

    Args:
        seen: see `record_views`.
        sample: place (from 0) of the sample whose attention and gates are shown, as far as it has the modalities; other views are over all samples.

    Returns:
        Each: kind, tap, title, quantity, values (labelled); of steps also `steps` (modality, words and rate of each axis), of spaces `specific` and
        `words`.

    Raises:
        ConfigError: there is no such sample.
    """
    if not 0 <= sample < seen.sizes["sample"]:
        raise ConfigError(f"there is no sample {sample} among those recorded", expected=f"0 to {seen.sizes['sample'] - 1}")
    kinds, found = kinds_of(seen), []
    for name, kind in kinds.items():
        view = {"kind": kind, "tap": name, "title": _title(name), "quantity": _title(name).rpartition(": ")[2], "values": _plain(seen[name])}
        if kind in ("attention", "gate"):
            own = _of_sample(seen, name, sample)
            found += [view | own] if own["values"].size else []
        elif kind == "spaces":
            partner = _partner(name, kinds)
            if partner is None and _partner_of(name, kinds) is None:
                found.append(view | {"words": (view["quantity"], "")})
            elif partner is not None:
                words = (view["quantity"], _title(partner).rpartition(": ")[2])
                found.append(view | {"title": f"{view['title']} and {words[1]}", "specific": _plain(seen[partner]), "words": words})
        else:
            found.append(view | {"values": _by_modality(view["values"], name, seen)} if kind == "gates" else view)
    return found


def last_layers(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of views that differ only in the layer they are of, the last layer's."""
    last = {re.sub(r"(^|\.)layers\.\d+(?=\.|$)", r"\1layers", view["tap"]): view for view in found}
    return list(last.values())


def _partner(name: str, kinds: Mapping[str, str]) -> str | None:
    """The tap of specific vectors that belongs to this tap of shared ones."""
    where, _, leaf = name.rpartition(".")
    wanted = [f"{where}.{other}".lstrip(".") for other, shared in PAIRS.items() if shared == leaf]
    return next((other for other in wanted if kinds.get(other) == "spaces"), None)


def _partner_of(name: str, kinds: Mapping[str, str]) -> str | None:
    """The tap of shared vectors that this tap of specific ones belongs to."""
    return next((other for other in kinds if _partner(other, kinds) == name), None)


def _plain(array: xr.DataArray) -> xr.DataArray:
    """The axes under their own names."""
    return array.rename({dim: axis for dim, axis in zip(array.dims, array.attrs["axes"], strict=True) if dim != axis})


def _by_modality(values: xr.DataArray, name: str, seen: xr.Dataset) -> xr.DataArray:
    """`sample modality feature`: a gate without that axis is the modality's that stands in the tap's path, or all modalities' together."""
    owner = next((part for part in name.split(".") if part in seen.attrs["modalities"]), "all")
    return values if "modality" in values.dims else values.expand_dims({"modality": [owner]}, axis=1)


def _of_sample(seen: xr.Dataset, name: str, sample: int) -> dict[str, Any]:
    """One sample's values, cut to its own steps, and what is known of these."""
    values = _plain(seen[name])
    values = values.isel(sample=sample) if "sample" in values.dims else values
    steps = {}
    for axis in map(str, values.dims):
        if _is_step(axis):
            known = _steps(seen, axis.removesuffix("_attended"), sample, values.sizes[axis])
            values = values.isel({axis: known.pop("kept")})
            steps[axis] = known
    return {"values": values, "steps": steps, "sample": str(seen["sample"].values[sample])}


def _steps(seen: xr.Dataset, axis: str, sample: int, count: int) -> dict[str, Any]:
    """Modality, words and rate of an axis of steps, and which of its places are kept: up to the last real step."""
    if axis == "token":
        return _all_tokens(seen, sample, count)
    name = axis.removesuffix("_time")
    real, words = seen.get(f"{name}:real"), seen.get(f"{name}:words")
    if real is None or real.shape[1] != count:
        return {"modality": name, "words": None, "rate": None, "kept": slice(None)}
    length = int(np.flatnonzero(real.values[sample]).max(initial=-1)) + 1
    said = None if words is None else [str(word) for word in words.values[sample][:length]]
    return {"modality": name, "words": said, "rate": seen.attrs.get(f"{name}:rate"), "kept": slice(0, length)}


def _all_tokens(seen: xr.Dataset, sample: int, count: int) -> dict[str, Any]:
    """The steps of all modalities one after the other: `text: great`, `audio: 1.2 s`; a token that the model adds stands behind them."""
    kept, said, start = [], [], 0
    for name in seen.attrs["modalities"]:
        known = _steps(seen, f"{name}_time", sample, seen.sizes[f"{name}_time"])
        places = range(known["kept"].stop)
        rate, words = known["rate"], known["words"]
        said += [f"{name}: {words[i] if words else f'{i / rate:.1f} s' if rate else i + 1}" for i in places]
        kept += [start + i for i in places]
        start += seen.sizes[f"{name}_time"]
    if count == start + 1:
        said, kept = [*said, ADDED], [*kept, start]
    is_known = count in (start, start + 1)
    return {"modality": "", "words": said if is_known else None, "rate": None, "kept": kept if is_known else slice(None)}


def _title(name: str) -> str:
    """`text from audio, layer 1: attention weights` of `fusion.crossmodal.streams.text_from_audio.layers.0.attention.weights`."""
    name, _, call = name.partition(" (")
    parts = name.split(".")[1:] or [name]
    *path, leaf = parts
    said, place = [], 0
    while place < len(path):
        if path[place] == "layers" and place + 1 < len(path) and path[place + 1].isdigit():
            said.append(f"layer {int(path[place + 1]) + 1}")
            place += 2
            continue
        if path[place] not in ("crossmodal", "streams", "layer") and not (path[place] == "attention" and leaf == "weights"):
            said.append(path[place].replace("_", " "))
        place += 1
    leaf = f"{'attention ' if path and path[-1] == 'attention' and leaf == 'weights' else ''}{leaf}".replace("_", " ")
    return (f"{', '.join(said)}: " if said else "") + leaf + (f" ({call}" if call else "")
