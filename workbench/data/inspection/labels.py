"""The labels of a data set: how many of each in which split, and which are too rare to learn or to score."""

from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

import numpy as np

from workbench.data.batch import Dataset

RARE = 0.02
"""A class below this share of train is said to be rare."""
BINS = 12
"""About as many intervals a number's range is cut into."""


@dataclass(frozen=True)
class LabelFacts:
    """How the labels are spread.

    Args:
        kind: of the task.
        names: classes or labels; for regression intervals ("-3 to -2.5", the last one closed).
        counts: samples of each name, by split; multilabel: samples that have the label.
        samples: by split.
        edges: ends of the intervals (regression), one more than names.
        low, high, mean: of all labels found (regression), else 0.
        signs: share of labels below, at and above 0 (regression over a range with 0 inside), else empty.
        own: modalities with labels of their own.
    """

    kind: str
    names: list[str]
    counts: dict[str, list[int]]
    samples: dict[str, int]
    edges: list[float]
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    signs: tuple[float, ...] = ()
    own: tuple[str, ...] = ()

    def shares(self, split: str = "train") -> list[float]:
        """Share of the split's samples by name."""
        return [count / self.samples[split] for count in self.counts[split]]

    @property
    def facts(self) -> list[str]:
        """What was found, in sentences."""
        said = []
        if self.kind == "regression":
            said.append(f"labels found: {self.low:g} to {self.high:g}, mean {self.mean:.2f}")
            if self.signs:
                said.append("negative {:.1%}, exactly 0 {:.1%}, positive {:.1%} of all labels".format(*self.signs))
        else:
            shares = self.shares()
            most, least = int(np.argmax(shares)), int(np.argmin(shares))
            noun = "label" if self.kind == "multilabel" else "class"
            said.append(f"largest {noun} of train: {self.names[most]} {shares[most]:.1%}, smallest: {self.names[least]} {shares[least]:.1%}")
        return [*said, *([f"labels of their own: {', '.join(self.own)}"] if self.own else [])]

    @property
    def warnings(self) -> list[str]:
        """Classes that are rare in train, and classes that a split does not have."""
        if self.kind == "regression":
            return []
        noun, plural = ("label", "labels") if self.kind == "multilabel" else ("class", "classes")
        rare = [f"{name} ({share:.1%})" for name, share in zip(self.names, self.shares(), strict=True) if 0 < share < RARE]
        said = [f"{len(rare)} {noun if len(rare) == 1 else plural} below {RARE:.0%} of train: {_some(rare)}"] if rare else []
        for split, counts in self.counts.items():
            never = [name for name, count in zip(self.names, counts, strict=True) if not count]
            said += [f"{len(never)} {noun if len(never) == 1 else plural} never in {split}: {_some(never)}"] if never else []
            always = [name for name, count in zip(self.names, counts, strict=True) if count == self.samples[split]]
            said += [f"{_some(always)}: the only {noun} in {split}"] if always and self.kind == "multiclass" else []
        return said


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def label_facts(dataset: Dataset) -> LabelFacts:
    """How the labels of all splits are spread."""
    task, targets = dataset.spec.task, {key: split.target.numpy() for key, split in dataset.splits.items()}
    samples, own = {key: len(target) for key, target in targets.items()}, tuple(dataset.splits["train"].labels)
    if task.kind == "multilabel":
        counts = {key: [int(count) for count in (target > 0.5).sum(0)] for key, target in targets.items()}
        return LabelFacts(task.kind, list(task.classes), counts, samples, [], own=own)
    if task.kind == "multiclass":
        counts = {key: np.bincount(target, minlength=len(task.classes)).tolist() for key, target in targets.items()}
        return LabelFacts(task.kind, list(task.classes), counts, samples, [], own=own)
    edges = intervals(task.low, task.high)
    # Labels are float32: without the margin .3 would fall below the edge .3.
    margin = 1e-6 * (task.high - task.low)
    shifted = np.array([edges[0] - margin, *(edge - margin for edge in edges[1:-1]), edges[-1] + margin])
    counts = {key: np.histogram(target, shifted)[0].tolist() for key, target in targets.items()}
    every = np.concatenate(list(targets.values())).astype(np.float64)
    signs = tuple(float(part.mean()) for part in (every < 0, every == 0, every > 0)) if task.low < 0 < task.high else ()
    names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    return LabelFacts(task.kind, names, counts, samples, edges, float(every.min()), float(every.max()), float(every.mean()), signs, own)


def intervals(low: float, high: float) -> list[float]:
    """The ends of about `BINS` intervals of a round width (1, 2 or 5 times a power of ten) over a range."""
    raw = (high - low) / BINS
    power = 10.0 ** floor(log10(raw))
    width = next(step * power for step in (1, 2, 5, 10) if step * power >= raw * (1 - 1e-9))
    first = floor(low / width + 1e-9)
    inside = [round(number * width, 12) for number in range(first + 1, ceil(high / width - 1e-9))]
    return [low, *(edge for edge in inside if low < edge < high), high]
