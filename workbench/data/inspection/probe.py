"""Linear models of a data set: what each modality alone, and all together, can tell; used by `workbench.data.inspection.check`."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from workbench.data.batch import Dataset, ModalitySpec, TaskSpec
from workbench.data.inspection.leak import Features, classes, features, inside_train, is_leak, predict, scaled, score

MOST = 5000
"""Samples of a split that the probe looks at; more change nothing and take long."""
ALL = "all together"


@dataclass(frozen=True)
class Probe:
    """What the linear models see of a data set: at most `MOST` samples of each split.

    Args:
        task: of the data set.
        specs: of its modalities.
        parts: features by modality and split, as they are.
        rows: the same scaled by train.
        labels: what is to be told apart, by split.
        targets: the labels themselves, by split.
        groups: video or speaker of each sample, by split, where there are two or more.
        rule: what is to be told apart, in words.
    """

    task: TaskSpec
    specs: dict[str, ModalitySpec]
    parts: dict[str, dict[str, Features]]
    rows: dict[str, dict[str, Features]]
    labels: dict[str, np.ndarray]
    targets: dict[str, np.ndarray]
    groups: dict[str, list[str] | None]
    rule: str

    @classmethod
    def of(cls, dataset: Dataset) -> "Probe":
        """The probe of a data set on the CPU."""
        rows = {key: _some_rows(len(split)) for key, split in dataset.splits.items()}
        targets = {key: split.target[rows[key]].numpy() for key, split in dataset.splits.items()}
        labels, rule = classes(dataset.name, targets, dataset.spec.task)
        groups = {key: _take(split.groups, rows[key]) for key, split in dataset.splits.items()}
        specs = dataset.spec.modalities
        parts = {name: {key: features(split.columns[name], spec, rows[key]) for key, split in dataset.splits.items()} for name, spec in specs.items()}
        return cls(dataset.spec.task, specs, parts, {name: scaled(part) for name, part in parts.items()}, labels, targets, groups, rule)

    def verdict(self, name: str) -> dict[str, float | bool]:
        """Inside train, on valid, and whether the difference is a leak."""
        rows, part = self.rows[name], self.parts[name]
        on_valid = score(predict(rows["train"], self.labels["train"], rows["valid"]) == self.labels["valid"], self.groups["valid"])
        inside = inside_train(part["train"], self.labels["train"], self.groups["train"])
        found = {"inside": inside[0], "inside_error": inside[1], "valid": on_valid[0], "valid_error": on_valid[1]}
        return found | {"is_leak": is_leak(inside, on_valid)}

    def chance(self) -> dict[str, float]:
        """The share of the most frequent answer of each split outside train: the best constant answer."""
        return {key: float(np.unique(labels, return_counts=True)[1].max() / len(labels)) for key, labels in self.labels.items() if key != "train"}

    def baselines(self) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
        """How well a linear model of each modality, and of all together, does outside train; and the standard errors of its accuracies."""
        rows = dict(self.rows)
        if len(rows) > 1:
            rows[ALL] = {key: sparse.hstack([sparse.csr_matrix(part[key]) for part in self.rows.values()]).tocsr() for key in self.labels}
        found = {name: self._baseline(part) for name, part in rows.items()}
        return {name: scores for name, (scores, _) in found.items()}, {name: errors for name, (_, errors) in found.items()}

    def _baseline(self, part: dict[str, Features]) -> tuple[dict[str, float], dict[str, float]]:
        names = [name for name in self.labels if name != "train"]
        stack = sparse.vstack if sparse.issparse(part["train"]) else np.concatenate
        said = predict(part["train"], self.labels["train"], stack([part[name] for name in names]))
        scores, errors, start = {}, {}, 0
        for name in names:
            labels = self.labels[name]
            scores[f"{name}_accuracy"], errors[name] = score(said[start : start + len(labels)] == labels, self.groups[name])
            start += len(labels)
        if self.task.kind == "regression":
            scores |= self._ridge(part, names[-1])
        return scores, errors

    def _ridge(self, part: dict[str, Features], scored: str) -> dict[str, float]:
        """MAE and correlation of a ridge regression whose penalty was chosen on valid."""
        from sklearn.linear_model import Ridge

        target = self.targets
        models = [Ridge(alpha=alpha).fit(part["train"], target["train"]) for alpha in (10.0, 100.0, 1000.0, 10000.0)]
        best = min(models, key=lambda model: float(np.abs(model.predict(part["valid"]) - target["valid"]).mean()))
        said = np.clip(best.predict(part[scored]), self.task.low, self.task.high)
        can_correlate = np.ptp(said) > 0 and np.ptp(target[scored]) > 0
        corr = float(np.corrcoef(said, target[scored])[0, 1]) if can_correlate else float("nan")
        return {"mae": float(np.abs(said - target[scored]).mean()), "corr": corr}


def _some_rows(samples: int) -> Tensor:
    """At most `MOST` row numbers, at random but always the same."""
    if samples <= MOST:
        return torch.arange(samples)
    return torch.randperm(samples, generator=torch.Generator().manual_seed(0))[:MOST].sort().values


def _take(groups: list[str] | None, rows: Tensor) -> list[str] | None:
    if groups is None:
        return None
    some = [groups[row] for row in rows.tolist()]
    return some if len(set(some)) > 1 else None
