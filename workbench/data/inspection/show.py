"""What `workbench data show` tells: the card, and where the data is here a sample of each modality, the lengths and the labels, in characters."""

import shutil
import sys
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data import read
from workbench.data.batch import Dataset
from workbench.data.card import DataCard
from workbench.data.card import card as find_card
from workbench.data.card_fields import TaskCard
from workbench.data.inspection.characters import Ink, bars, cut, image, ink_for, printable, shades, shrunk, sparkline, wrapped
from workbench.data.inspection.labels import label_facts
from workbench.data.inspection.portrait import labels_frame, lengths_frame, sample_frame, say_sample
from workbench.data.inspection.structure import verify_structure
from workbench.errors import DataError, MissingDataError

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 80
"""Characters of a line where the terminal does not say how wide it is."""
FEATURES = 8
"""Features of a sequence that are drawn as lines; more are drawn as a map."""
LIMIT = 3.0
"""Standard deviations at which a map is black."""
CLASSES = 24
"""Bars of labels; the rest is counted."""


def show(name: str, *, root: Any = None, sample: int = 0, terminal: int | None = None, encoding: str | None = None, **options: object) -> str:
    """The card in words, and where its data is here: sample `sample` of train drawn, lengths and labels.

    Args:
        name: a card's name, with a preset after a slash, or its path.
        root: where the data files lie.
        sample: which row of train; a negative number counts from the end.
        terminal: characters of a line; by default the terminal's.
        encoding: of the terminal, by default standard output's; without block characters in it everything is drawn in ASCII.
        options: of the reader, and `path`, as for `load`.

    Raises:
        ConfigError: an unknown card, option or sample.
        DataError: the card cannot be read.
    """
    card = find_card(name)
    width = max(40, terminal or shutil.get_terminal_size((WIDTH, 24)).columns)
    encoding = encoding or getattr(sys.stdout, "encoding", None)
    ink = ink_for(encoding)
    lines = card_lines(card, width=width)
    dataset, problem = _read(name, root, options)
    lines += portrait_lines(dataset, sample=sample, width=width, ink=ink) if dataset is not None else ["", *wrapped(problem, width=width)]
    return printable("\n".join(lines), encoding)


def facts(name: str, *, root: Any = None, **options: object) -> dict[str, Any]:
    """Where the data is here: `splits` (samples), `lengths` (shortest, median, longest steps by modality) and `labels` (samples by split and label);
    else `problem`, what to do about it. Errors as for `show`.
    """
    dataset, problem = _read(name, root, options)
    if dataset is None:
        return {"problem": problem}
    lengths = {}
    for key in dataset.modalities:
        steps = np.concatenate([split.columns[key].lengths.numpy() for split in dataset.splits.values()])
        lengths[key] = {"shortest": int(steps.min()), "median": float(np.median(steps)), "longest": int(steps.max())}
    found = label_facts(dataset)
    labels = {split: dict(zip(found.names, counts, strict=True)) for split, counts in found.counts.items()}
    return {"splits": {key: len(split) for key, split in dataset.splits.items()}, "lengths": lengths, "labels": labels}


def _read(name: str, root: Any, options: Mapping[str, object]) -> tuple[Dataset | None, str]:
    """The data set as on disk; or nothing, and why."""
    try:
        dataset, _ = read(name, root=root, **options)
        verify_structure(dataset)
    except MissingDataError as error:
        return None, f"{error.what}. To have them: {error.do}"
    except DataError as error:
        return None, f"The data here cannot be shown: {error.what}.  More: workbench data check {name}"
    return dataset, ""


def say_task(task: TaskCard) -> str:
    """`regression, sentiment in -3 to 3`, `multilabel, 2 labels: happy, sad`."""
    unit, noun = f"{task.unit} " if task.unit else "", "labels" if task.kind == "multilabel" else "classes"
    asked = f"{unit}in {task.range[0]:g} to {task.range[1]:g}" if task.range else f"{len(task.classes)} {noun}: {', '.join(task.classes)}"
    return f"{task.kind}, {asked}"


def card_lines(card: DataCard, *, width: int) -> list[str]:
    """The card's head in words, what is asked most first."""
    lines = wrapped(f"{card.name}: {card.title}", width=width)
    lines += ["", *_field("task", say_task(card.task), width)]
    for option, task in card.other_tasks.items():
        lines += _field("or", f"{say_task(task)} (task={option})", width)
    for name, modality in card.modalities.items():
        size = "x".join(map(str, modality.shape)) if modality.shape else str(modality.size or "any size")
        rate = f", {modality.rate:g} steps a second" if modality.rate else ""
        lines += _field(name, f"{modality.kind}, {size}{rate}: {modality.description}", width)
    lines += _field("splits", ", ".join(f"{split} {count if count is not None else 'any'}" for split, count in card.splits.items()), width)
    for title, text in (("licence", card.licence), ("citation", card.citation), ("obtain", card.obtain)):
        lines += _field(title, text, width) if text else []
    lines += [line for trap in card.traps for line in _field("trap", trap, width)]
    if card.published:
        methods = {row.method for row in card.published}
        comparable = sum(not row.differs_from(card.variant()) for row in card.published)
        said = f"{len(card.published)} rows of {len(methods)} methods, {comparable} of them comparable (--json lists them)"
        lines += _field("published", said, width)
    return lines


def _field(title: str, text: str, width: int) -> list[str]:
    first, *rest = wrapped(text, width=width - 13)
    return [f"  {title:<10} {first}", *(f"{'':<13}{line}" for line in rest)]


def portrait_lines(dataset: Dataset, *, sample: int = 0, width: int = WIDTH, ink: Ink) -> list[str]:
    """A sample, the lengths and the labels."""
    frame = sample_frame(dataset, sample)
    lines = ["", *wrapped(f"sample {say_sample(dataset, sample)}", width=width)]
    for name, rows in frame.groupby("modality", sort=False):
        lines += ["", *_drawn(str(name), rows, width, ink)]
    lengths = lengths_frame(dataset)
    for name, rows in lengths.groupby("modality", sort=False):
        lines += ["", *_lengths(str(name), rows, width, ink)]
    equal = [f"{name} {spec.length}" for name, spec in dataset.spec.modalities.items() if spec.length > 1 and name not in set(lengths["modality"])]
    lines += ["", *wrapped(f"steps in every sample: {', '.join(equal)}", width=width)] if equal else []
    return [*lines, "", *_labels(dataset, width, ink)]


def _drawn(name: str, rows: "pd.DataFrame", width: int, ink: Ink) -> list[str]:
    kind, room = rows["kind"].iloc[0], width - 2
    if kind == "tokens":
        return [f"{name} ({len(rows)} words)", *wrapped(" ".join(rows["word"]), width=width, indent="  ")]
    if kind == "image":
        pixels = rows.pivot(index="place", columns="step", values="value").to_numpy()
        return [f"{name} (darker: a larger value)", *(f"  {line}".rstrip() for line in image(pixels, width=min(room, 64), ink=ink))]
    if kind == "vector":
        values = rows["value"].to_numpy()
        line = sparkline(values, width=room, ink=ink, low=-LIMIT, high=LIMIT)
        title = f"{name} ({len(rows)} numbers, left to right; middle: training mean, top and bottom: {LIMIT:g} standard deviations)"
        return [*wrapped(title, width=width), f"  {line}"]
    return _sequence(name, rows, room, ink)


def _sequence(name: str, rows: "pd.DataFrame", room: int, ink: Ink) -> list[str]:
    """A line for each of some features; a map where there are many."""
    table = rows.pivot(index="place", columns="step", values="value")
    names = list(rows.drop_duplicates("place")["feature"])
    unit, last = rows["unit"].iloc[0], float(rows["step"].max())
    span = f"{last:.1f} s" if unit == "s" else f"{table.shape[1]} steps"
    label = min(max(map(len, names)), 16)
    title = f"{name} ({span} from left to right, {len(names)} features"
    if len(names) <= FEATURES:
        drawn = [sparkline(line, width=room - label - 1, ink=ink) for line in table.to_numpy()]
        title += "; each line from its lowest to its highest)"
    else:
        small = shrunk(table.to_numpy().T, room - label - 1).T
        drawn = shades(small, ink=ink, low=-LIMIT, high=LIMIT)
        title += f"; darker: higher, {LIMIT:g} standard deviations from the training mean at the ends)"
    lines = [f"  {cut(each, label, ink):<{label}} {line}".rstrip() for each, line in zip(names, drawn, strict=True)]
    return [*wrapped(title, width=room + 2), *lines]


def _lengths(name: str, rows: "pd.DataFrame", width: int, ink: Ink) -> list[str]:
    """How many samples have how many steps, all splits together, in at most eight stretches."""
    values, unit = rows["value"].to_numpy(), rows["unit"].iloc[0]
    low, high = int(values.min()), int(values.max())
    title = f"{name}: {unit} a sample, median {np.median(values):g}"
    edges = np.unique(np.linspace(low, high + 1, min(8, high - low + 1) + 1).round().astype(int))
    counts = np.histogram(values, edges)[0]
    names = [f"{start}" if end - start == 1 else f"{start} to {end - 1}" for start, end in pairwise(edges.tolist())]
    return [title, *(f"  {line}" for line in bars(names, counts.tolist(), [f"{count:,}" for count in counts], width=width - 2, ink=ink))]


def _labels(dataset: Dataset, width: int, ink: Ink) -> list[str]:
    """The labels of train, and how many samples the splits have."""
    frame = labels_frame(dataset)
    rows = frame[frame["split"] == "train"]
    counts = ", ".join(f"{key} {len(split):,}" for key, split in dataset.splits.items())
    shown = rows.head(CLASSES)
    lines = bars(list(shown["label"]), list(shown["value"]), [f"{value:,}" for value in shown["value"]], width=width - 2, ink=ink)
    more = [f"  and {len(rows) - CLASSES} more"] if len(rows) > CLASSES else []
    return [*wrapped(f"labels of train (samples: {counts})", width=width), *(f"  {line}" for line in lines), *more]
