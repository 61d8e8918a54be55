"""What `workbench data check` says: is the data as its card says, what is in each modality, and does a modality know the training labels?

The probe for leaked labels and its rule stand in `workbench.data.leak`.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from workbench.data import read
from workbench.data.batch import UNKNOWN, Dataset, Split
from workbench.data.leak import classes, features, inside_train, is_leak, predict, scaled, score
from workbench.data.verify import verify_target, verify_values

if TYPE_CHECKING:
    import pandas as pd

MOST = 5000
"""Training samples that the probe looks at; more change nothing and take long."""
ALL = "all together"


@dataclass(frozen=True)
class ModalityCheck:
    """What was found in one modality (facts of the data as on disk, before standardising).

    Args:
        name, kind, size: as in the spec.
        shortest, median, longest: steps of a sample over all splits.
        zero_columns, constant_columns: share of the features that are 0 throughout / that never change in train (not for tokens).
        zeros: share of the values that are exactly 0 (not for tokens).
        unknown: share of the words of valid and test that train does not have (tokens).
        repeated: samples of valid and test that are, in this modality, exactly a sample of train.
        inside, inside_error: accuracy of the linear probe in cross-validation inside train, and its standard error.
        valid, valid_error: its accuracy on valid when fitted on all of train.
        is_leak: see the rule in `workbench.data.leak`.
    """

    name: str
    kind: str
    size: int
    shortest: int
    median: float
    longest: int
    zero_columns: float
    constant_columns: float
    zeros: float
    unknown: float
    repeated: int
    inside: float
    inside_error: float
    valid: float
    valid_error: float
    is_leak: bool


@dataclass(frozen=True)
class CheckResult:
    """All that `check` found.

    Args:
        name: the data set.
        facts: what was verified, one sentence each.
        modalities: by name.
        shared_groups: videos or speakers that are in two splits.
        baselines: linear model fitted on train, by modality and for all together: `valid_accuracy`, `test_accuracy`; for regression also
            `mae` and `corr` on test (without a test split on valid). Accuracy is that of `rule`.
        rule: what the probe was asked to tell apart.
        has_groups: whether videos or speakers are known (errors are counted between them).
    """

    name: str
    facts: list[str]
    modalities: dict[str, ModalityCheck]
    shared_groups: list[str]
    baselines: dict[str, dict[str, float]]
    rule: str
    has_groups: bool = True

    @property
    def leaks(self) -> list[str]:
        """Modalities whose features know the training labels."""
        return [name for name, found in self.modalities.items() if found.is_leak]

    @property
    def warnings(self) -> list[str]:
        """What a person should know, in sentences."""
        said = []
        for found in self.modalities.values():
            if found.is_leak:
                said.append(
                    f"{found.name} knows the training labels: a linear probe reaches {found.inside:.3f} inside train and {found.valid:.3f} on valid; "
                    "choose nothing by scores inside train"
                )
            if found.repeated:
                said.append(f"{found.name}: {found.repeated} samples of valid and test are exactly a sample of train")
        if self.shared_groups:
            said.append(f"{len(self.shared_groups)} videos or speakers are in two splits, {self.shared_groups[0]} among them: scores flatter")
        if not self.has_groups:
            said.append("videos or speakers are not known: neighbours inside train can look like a leak, and the errors are too small")
        return said

    def table(self) -> "pd.DataFrame":
        """One row a modality."""
        import pandas as pd

        return pd.DataFrame([asdict(found) for found in self.modalities.values()]).set_index("name")

    def text(self) -> str:
        """For the terminal: what was verified, one line a modality, the linear baselines, and what to know."""
        lines = [f"{self.name}: the data is what its card says", *(f"  ok  {fact}" for fact in self.facts), "", f"linear probe ({self.rule})"]
        lines.append(f"  {'':<10} {'inside train':>15} {'valid':>15} {'test alone':>11}")
        for found in self.modalities.values():
            inside, valid = (f"{value:.3f} ± {error:.3f}" for value, error in ((found.inside, found.inside_error), (found.valid, found.valid_error)))
            test = self.baselines.get(found.name, {}).get("test_accuracy", float("nan"))
            lines.append(f"  {found.name:<10} {inside:>15} {valid:>15} {test:>11.3f}{'   LEAK' if found.is_leak else ''}")
        together = [
            (name, scores["test_accuracy"]) for name, scores in self.baselines.items() if name not in self.modalities and "test_accuracy" in scores
        ]
        lines += [f"  {name:<10} {'':>15} {'':>15} {value:>11.3f}" for name, value in together]
        return "\n".join([*lines, *(["", *(f"warning: {said}" for said in self.warnings)] if self.warnings else [])])

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {**asdict(self), "leaks": self.leaks, "warnings": self.warnings}


def check(name_or_dataset: str | Dataset, *, root: str | None = None, **options: object) -> CheckResult:
    """Verifies a data set against its card, looks at each modality, and probes it for leaked labels.

    Args:
        name_or_dataset: a card's name or path (see `workbench.data.load`), or a data set in memory (then there is no card to hold it against).
        root: where the data files lie.
        options: as for `load`.

    Raises:
        ConfigError, MissingDataError, DataError: as `load`; or all training labels are one.
    """
    if isinstance(name_or_dataset, Dataset):
        dataset, facts = name_or_dataset, _verify_alone(name_or_dataset)
    else:
        dataset, facts = read(name_or_dataset, root=root, **options)
    dataset = dataset.subset(MOST).to("cpu")
    labels, rule = classes(dataset)
    parts = {
        name: {key: features(split.columns[name], spec) for key, split in dataset.splits.items()} for name, spec in dataset.spec.modalities.items()
    }
    train = dataset.splits["train"]
    groups = train.groups if train.groups is not None and len(set(train.groups)) > 1 else None
    found = {name: _modality(dataset, name, part, labels, groups) for name, part in parts.items()}
    together = {key: sparse.hstack([sparse.csr_matrix(scaled(part)[key]) for part in parts.values()]).tocsr() for key in dataset.splits}
    baselines = {name: _baseline(dataset, scaled(part), labels) for name, part in parts.items()}
    if len(parts) > 1:
        baselines[ALL] = _baseline(dataset, together, labels)
    return CheckResult(dataset.name, facts, found, _shared_groups(dataset), baselines, rule, groups is not None)


def _verify_alone(dataset: Dataset) -> list[str]:
    for split in dataset.splits.values():
        for name, column in split.columns.items():
            verify_values(dataset.name, split, name, column, dataset.spec.modalities[name])
        verify_target(dataset.name, split, dataset)
    return [f"split {name}: {len(split)} samples" for name, split in dataset.splits.items()] + ["values are finite, labels are in range"]


def _modality(dataset: Dataset, name: str, part: dict, labels: dict[str, np.ndarray], groups: list[str] | None) -> ModalityCheck:
    rows = scaled(part)
    on_valid = score(predict(rows["train"], labels["train"], rows["valid"]) == labels["valid"], dataset.splits["valid"].groups)
    inside = inside_train(part["train"], labels["train"], groups)
    spec = dataset.spec.modalities[name]
    verdict = {"inside": inside[0], "inside_error": inside[1], "valid": on_valid[0], "valid_error": on_valid[1], "is_leak": is_leak(inside, on_valid)}
    return ModalityCheck(name, spec.kind, spec.size, **_contents(dataset, name), **verdict)


def _contents(dataset: Dataset, name: str) -> dict[str, float | int]:
    """The facts of a modality that no model is needed for."""
    columns = {key: split.columns[name] for key, split in dataset.splits.items()}
    lengths = np.concatenate([column.lengths.numpy() for column in columns.values()])
    found = {"shortest": int(lengths.min()), "median": float(np.median(lengths)), "longest": int(lengths.max())}
    found["repeated"] = _repeated(dataset.splits, name)
    if dataset.spec.modalities[name].kind == "tokens":
        others = [column.values.numpy() for key, column in columns.items() if key != "train"]
        return found | {"zero_columns": 0.0, "constant_columns": 0.0, "zeros": 0.0, "unknown": float((np.concatenate(others) == UNKNOWN).mean())}
    values = {key: column.values.flatten(1).numpy() for key, column in columns.items()}
    every = np.concatenate(list(values.values()))
    found |= {"zero_columns": float((every == 0).all(0).mean()), "constant_columns": float((np.ptp(values["train"], axis=0) == 0).mean())}
    return found | {"zeros": float((every == 0).mean()), "unknown": 0.0}


def _repeated(splits: dict[str, Split], name: str) -> int:
    """Samples outside train that are exactly a sample of train; a missing modality (all zeros, or all unknown) does not count."""

    def keys(split: Split) -> list[bytes | None]:
        column = split.columns[name]
        values, offsets = column.values.numpy(), column.offsets.tolist()
        empty = UNKNOWN if values.ndim == 1 else 0
        samples = [values[start:end] for start, end in pairwise(offsets)]
        return [None if (sample == empty).all() else sample.tobytes() for sample in samples]

    known = set(keys(splits["train"])) - {None}
    return sum(key in known for split_name, split in splits.items() if split_name != "train" for key in keys(split))


def _shared_groups(dataset: Dataset) -> list[str]:
    seen = [group for split in dataset.splits.values() for group in set(split.groups or ())]
    return sorted({group for group in seen if seen.count(group) > 1})


def _baseline(dataset: Dataset, part: dict, labels: dict[str, np.ndarray]) -> dict[str, float]:
    """How well a linear model of the (scaled) features does outside train."""
    names = [name for name in ("valid", "test") if name in part]
    stack = sparse.vstack if sparse.issparse(part["train"]) else np.concatenate
    said = predict(part["train"], labels["train"], stack([part[name] for name in names]))
    found, start = {}, 0
    for name in names:
        rows = labels[name]
        found[f"{name}_accuracy"] = float((said[start : start + len(rows)] == rows).mean())
        start += len(rows)
    if dataset.spec.task.kind == "regression":
        found |= _ridge(dataset, part, names[-1])
    return found


def _ridge(dataset: Dataset, part: dict, scored: str) -> dict[str, float]:
    """MAE and correlation of a ridge regression whose penalty was chosen on valid."""
    from sklearn.linear_model import Ridge

    target = {name: split.target.numpy() for name, split in dataset.splits.items()}
    models = [Ridge(alpha=alpha).fit(part["train"], target["train"]) for alpha in (10.0, 100.0, 1000.0, 10000.0)]
    best = min(models, key=lambda model: float(np.abs(model.predict(part["valid"]) - target["valid"]).mean()))
    said = np.clip(best.predict(part[scored]), dataset.spec.task.low, dataset.spec.task.high)
    can_correlate = np.ptp(said) > 0 and np.ptp(target[scored]) > 0
    corr = float(np.corrcoef(said, target[scored])[0, 1]) if can_correlate else float("nan")
    return {"mae": float(np.abs(said - target[scored]).mean()), "corr": corr}
