"""A data set as tables that can be drawn: one sample, how long samples are, how the labels are spread.

The figures (`workbench.figures.one_sample`, ...) and the terminal (`workbench.data.inspection.show`) draw the same tables.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch

from workbench.data.batch import PADDING, UNKNOWN, Column, Dataset, ModalitySpec
from workbench.data.card import DataCard
from workbench.data.inspection.labels import label_facts
from workbench.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

STEPS = 160
"""A longer sequence is drawn by the means of this many stretches."""
FEATURES = 16
"""Of wider sequences the features that move most in the sample."""
NUMBERS = 160
"""Of longer vectors the numbers that lie furthest from their training mean."""
PIXELS = 64
"""Larger images are averaged down to this height and width."""
REFERENCE = 400
"""Training samples that a feature's mean and spread are taken from."""

COLUMNS = ("modality", "kind", "unit", "step", "place", "feature", "value", "word")


def sample_frame(dataset: Dataset, row: int = 0, *, split: str = "train") -> "pd.DataFrame":
    """One sample, a row for every number or word that is drawn.

    Args:
        dataset: as read.
        row: which sample of the split; a negative number counts from the end.
        split: which split.

    Returns:
        modality, kind, unit (of step: `s` where the rate is known, else `step`; images `pixel`), step (time, or column of the image), place (of
        the feature, or row of the image, from 0), feature (its name), value (sequences and vectors: standard deviations from the training mean,
        by at most 400 training samples; images: ink in 0 to 1, all channels together; words: their number), word (tokens; else empty).

    Raises:
        ConfigError: no such split or row.
    """
    import pandas as pd

    found = dataset[split]
    if not -len(found) <= row < len(found):
        raise ConfigError(f"there is no sample {row} in {split}", expected=f"0 to {len(found) - 1}")
    row %= len(found)
    parts = [_modality(dataset, name, spec, found.columns[name], row) for name, spec in dataset.spec.modalities.items()]
    return pd.concat([pd.DataFrame(part, columns=list(COLUMNS)) for part in parts], ignore_index=True)


def say_sample(dataset: Dataset, row: int = 0, *, split: str = "train") -> str:
    """Which sample it is, what its label is, and its sentence where there is one: `train 0 (id), label -1.2: "..."`."""
    found = dataset[split]
    row %= len(found)
    text = f': "{found.texts[row]}"' if found.texts is not None and found.texts[row].strip() else ""
    return f"{split} {row} ({found.ids[row]}), {say_label(dataset, row, split=split)}{text}"


def say_label(dataset: Dataset, row: int, *, split: str = "train") -> str:
    """What a sample is labelled with, for people: `label -1.25`, `class happy`, `labels Drama, Comedy`."""
    task, target = dataset.spec.task, dataset[split].target[row]
    if task.kind == "multilabel":
        return f"labels {', '.join(name for name, value in zip(task.classes, target.tolist(), strict=True) if value > 0.5) or 'none'}"
    return f"class {task.classes[int(target)]}" if task.kind == "multiclass" else f"label {round(float(target), 2) + 0.0:g}"


def card_rows(card: DataCard, dataset: Dataset) -> list[list[str]]:
    """What a card says and the data holds, as rows of two: what, and how it is here."""
    task = dataset.spec.task
    rows = [["data set", f"{dataset.name}: {card.title}"]]
    if task.kind == "regression":
        rows.append(["label", f"{card.task.unit or 'a number'} from {task.low:g} to {task.high:g}"])
    else:
        noun = "one of" if task.kind == "multiclass" else "any of"
        rows.append(["label", f"{noun} {len(task.classes)}: {', '.join(task.classes)}"])
    for name, spec in dataset.spec.modalities.items():
        description = card.modalities[name].description if name in card.modalities else ""
        rows.append([name, f"{say_kind(spec)}{f': {description}' if description else ''}"])
    rows.append(["samples", ", ".join(f"{split} {len(found):,}" for split, found in dataset.splits.items())])
    groups = {split: len(set(found.groups)) for split, found in dataset.splits.items() if found.groups is not None}
    rows.append(["groups", ", ".join(f"{split} {count:,}" for split, count in groups.items()) or "not known"])
    return [*rows, ["licence", card.licence], ["source", card.citation]]


def say_kind(spec: ModalitySpec) -> str:
    """`words, 2,163 known`, `sequence of 8 features, 20 steps a second`, `vector of 73`, `image 3 x 160 x 256`."""
    if spec.kind == "tokens":
        return f"words, {spec.size:,} known"
    if spec.kind == "image":
        return f"image {' x '.join(map(str, spec.shape))}"
    if spec.kind == "vector":
        return f"vector of {spec.size:,}"
    return f"sequence of {spec.size:,} features, " + (f"{spec.rate:g} steps a second" if spec.rate else f"{spec.length:,} steps at most")


def lengths_frame(dataset: Dataset) -> "pd.DataFrame":
    """Steps of every sample: modality, unit (`words` or `steps`), split, value. A modality whose samples are all equally long has no rows."""
    import pandas as pd

    rows = []
    for name, spec in dataset.spec.modalities.items():
        lengths = {key: split.columns[name].lengths.numpy() for key, split in dataset.splits.items()}
        if len(np.unique(np.concatenate(list(lengths.values())))) > 1:
            unit = "words" if spec.kind == "tokens" else "steps"
            rows += [pd.DataFrame({"modality": name, "unit": unit, "split": key, "value": found}) for key, found in lengths.items()]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["modality", "unit", "split", "value"])


def labels_frame(dataset: Dataset) -> "pd.DataFrame":
    """How many samples of each split have each label: split, label (class, or interval of the number), value (samples), share (of the split),
    kind (of the task), and for numbers low and high of the interval.
    """
    import pandas as pd

    found = label_facts(dataset)
    rows = []
    for split, counts in found.counts.items():
        for place, (name, count) in enumerate(zip(found.names, counts, strict=True)):
            ends = {"low": found.edges[place], "high": found.edges[place + 1]} if found.edges else {"low": np.nan, "high": np.nan}
            share = count / found.samples[split]
            rows.append({"split": split, "label": name, "value": count, "share": share, "kind": found.kind, **ends})
    return pd.DataFrame(rows)


def _modality(dataset: Dataset, name: str, spec: ModalitySpec, column: Column, row: int) -> dict[str, object]:
    """The rows of one modality, as columns of a table."""
    if spec.kind == "tokens":
        made = _words(column[row], spec)
    elif spec.kind == "image":
        made = _image(column[row])
    else:
        names = _feature_names(dataset, name, spec)
        made = _numbers(_standing(dataset.splits["train"].columns[name], column[row]), spec, names)
    return {"modality": name, "kind": spec.kind, **made}


def _words(tokens: torch.Tensor, spec: ModalitySpec) -> dict[str, object]:
    """One row a word; without a vocabulary its number stands for it."""
    numbers = [number for number in tokens.tolist() if number != PADDING or spec.text_model] or [UNKNOWN]
    words = [spec.vocabulary[number] if number < len(spec.vocabulary) else str(number) for number in numbers]
    return {"unit": "word", "step": np.arange(len(words), dtype=float), "place": 0, "feature": "", "value": np.array(numbers, float), "word": words}


def _image(image: torch.Tensor) -> dict[str, object]:
    """The first step's pixels, all channels together, scaled to 0..1."""
    grey = image[0].float().mean(0)[None, None]
    small = torch.nn.functional.adaptive_avg_pool2d(grey, [min(PIXELS, side) for side in grey.shape[2:]])[0, 0].numpy()
    low, high = float(small.min()), float(small.max())
    small = (small - low) / (high - low) if high > low else np.zeros_like(small)
    height, width = small.shape
    place, step = np.repeat(np.arange(height), width), np.tile(np.arange(width, dtype=float), height)
    return {"unit": "pixel", "step": step, "place": place, "feature": "", "value": small.ravel().astype(float), "word": ""}


def _standing(train: Column, sample: torch.Tensor) -> np.ndarray:
    """The sample's features in standard deviations from the mean of some training samples; 0 where train never changes."""
    rows = torch.linspace(0, len(train) - 1, min(len(train), REFERENCE)).long()
    known = train.take(rows)
    values = (known.values if known.present is None else known.values[known.present]).double()
    if not len(values):
        return np.zeros(tuple(sample.shape))
    mean, spread = values.mean(0), values.std(0, correction=0)
    spread = torch.where(values.amax(0) > values.amin(0), spread, torch.inf)
    return ((sample.double() - mean) / spread).numpy()


def _feature_names(dataset: Dataset, name: str, spec: ModalitySpec) -> list[str]:
    """The names that the reader gave, else numbers from 0."""
    channels = dataset.notes.get("channels")
    given = channels.get(name) if isinstance(channels, dict) else None
    return [str(each) for each in given] if isinstance(given, list | tuple) and len(given) == spec.size else [str(i) for i in range(spec.size)]


def _numbers(values: np.ndarray, spec: ModalitySpec, names: list[str]) -> dict[str, object]:
    """A sequence (over time) or a vector (over its features)."""
    if spec.kind == "vector":
        strength = np.abs(values[0])
        kept = np.sort(np.argsort(-strength, kind="stable")[:NUMBERS])
        shown = {"feature": [names[i] for i in kept], "value": values[0][kept]}
        return {"unit": "feature", "step": 0.0, "place": kept, **shown, "word": ""}
    kept = np.sort(np.argsort(-values.std(0), kind="stable")[:FEATURES])
    edges = np.unique(np.linspace(0, len(values), min(len(values), STEPS) + 1).round().astype(int))
    means = np.add.reduceat(values[:, kept], edges[:-1], axis=0) / np.diff(edges)[:, None]
    time = edges[:-1] / (spec.rate or 1.0)
    steps, width = means.shape
    place = np.tile(np.arange(width), steps)
    shown = {"feature": [names[kept[i]] for i in place], "value": means.ravel()}
    return {"unit": "s" if spec.rate else "step", "step": np.repeat(time, width), "place": place, **shown, "word": ""}
