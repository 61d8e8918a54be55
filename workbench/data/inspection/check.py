"""What `workbench data check` finds: is the data as its card says, what is in each modality, and does a modality know the training labels?

The probe for leaked labels and its rule stand in `workbench.data.inspection.leak`;
what is said of it all in words in `workbench.data.inspection.findings`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from workbench.data import read
from workbench.data.batch import Dataset
from workbench.data.inspection import findings
from workbench.data.inspection.facts import duplicates, fingerprints, modality_facts, repeats, shared
from workbench.data.inspection.labels import LabelFacts, label_facts
from workbench.data.inspection.probe import MOST, Probe
from workbench.data.inspection.structure import verify_structure
from workbench.data.names import first_repeated
from workbench.data.verify import verify_target, verify_values

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ModalityCheck:
    """What was found in one modality (facts of the data as on disk, before standardising).

    Args:
        name, kind, size: as in the spec.
        dtype: of the values as stored.
        shortest, median, longest: steps of a sample over all splits.
        missing: share of the steps that keep their place in time but are not there.
        features: numbers a step (images: channels times height times width; tokens: 0).
        zero_column_count, constant_column_count: features that are 0 throughout / that never change in train (not for tokens).
        zero_columns, constant_columns: the same as a share of the features.
        zeros: share of the values that are exactly 0 (not for tokens).
        unknown: share of the words of valid and test that train does not have (tokens).
        repeated: samples of valid and test that are, in this modality, exactly a sample of train.
        twice: samples of train that are, in this modality, exactly an earlier sample of train.
        absent: samples without this modality (all zeros, or all words unknown).
        inside, inside_error: accuracy of the linear probe in cross-validation inside train, and its standard error.
        valid, valid_error: its accuracy on valid when fitted on all of train.
        is_leak: see the rule in `workbench.data.inspection.leak`.
    """

    name: str
    kind: str
    size: int
    dtype: str
    shortest: int
    median: float
    longest: int
    missing: float
    features: int
    zero_column_count: int
    constant_column_count: int
    zero_columns: float
    constant_columns: float
    zeros: float
    unknown: float
    repeated: int
    twice: int
    absent: int
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
        errors: standard error of each of these accuracies: by modality and for all together, by split.
        chance: the share of the most frequent answer, by split: what the best constant answer reaches.
        rule: what the probe was asked to tell apart.
        labels: how the labels are spread.
        probed: samples of each split that the probe looked at (at most `MOST`).
        shared_ids, repeated_ids: ids that are in two splits, and splits' first id that stands twice.
        duplicates: samples that are an earlier sample (of any split) in every modality.
        reading: what reading the files found, one sentence each.
        traps: what the card warns of.
        has_groups: whether videos or speakers are known (errors are counted between them).
    """

    name: str
    facts: list[str]
    modalities: dict[str, ModalityCheck]
    shared_groups: list[str]
    baselines: dict[str, dict[str, float]]
    errors: dict[str, dict[str, float]]
    chance: dict[str, float]
    rule: str
    labels: LabelFacts
    probed: dict[str, int]
    shared_ids: list[str] = field(default_factory=list)
    repeated_ids: list[str] = field(default_factory=list)
    duplicates: int = 0
    reading: list[str] = field(default_factory=list)
    traps: list[str] = field(default_factory=list)
    has_groups: bool = True

    @property
    def leaks(self) -> list[str]:
        """Modalities whose features know the training labels."""
        return [name for name, found in self.modalities.items() if found.is_leak]

    @property
    def warnings(self) -> list[str]:
        """What a person should know, in sentences."""
        return findings.warnings(self)

    def table(self) -> "pd.DataFrame":
        """One row a modality."""
        import pandas as pd

        return pd.DataFrame([asdict(found) for found in self.modalities.values()]).set_index("name")

    def alone(self) -> "pd.DataFrame":
        """What each modality alone, and all together, can do by the linear probe, as `figures.modality_alone` takes it: modality, split, value
        (accuracy), error (standard error, counted between groups), chance, n.
        """
        import pandas as pd

        rows = [
            {"modality": name, "split": split, "value": scores[f"{split}_accuracy"], "error": self.errors[name][split], "chance": self.chance[split]}
            | {"n": self.probed[split]}
            for name, scores in self.baselines.items()
            for split in self.chance
        ]
        return pd.DataFrame(rows)

    def text(self) -> str:
        """For the terminal: what was verified, a line a modality, labels, the linear baselines, and what to know."""
        return findings.text(self)

    def as_dict(self) -> dict[str, object]:
        """For `--json`: plain values, None for what is no number."""
        said = {"leaks": self.leaks, "warnings": self.warnings}
        labels = asdict(self.labels) | {"facts": self.labels.facts}
        return plain({**asdict(self), "labels": labels, **said})


def plain(value: object) -> object:
    """The value in strict JSON's types: no nan, no infinity, no numbers of numpy."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def check(name_or_dataset: str | Dataset, *, root: str | None = None, **options: object) -> CheckResult:
    """Verifies a data set against its card, looks at each modality, and probes it for leaked labels.

    Args:
        name_or_dataset: a card's name or path (see `workbench.data.load`), or a data set in memory (then there is no card to hold it against).
        root: where the data files lie.
        options: of the reader, and `path`, as for `workbench.data.read`.

    Raises:
        ConfigError, MissingDataError, DataError: as `load`; or the data is malformed; or all training labels are one.
    """
    if isinstance(name_or_dataset, Dataset):
        verify_structure(name_or_dataset)
        dataset = name_or_dataset.to("cpu")
        facts = _verify_alone(dataset)
    else:
        dataset, facts = read(name_or_dataset, root=root, **options)
        verify_structure(dataset)
    prints = {name: {key: fingerprints(split, name) for key, split in dataset.splits.items()} for name in dataset.modalities}
    probe = Probe.of(dataset)
    found = {
        name: ModalityCheck(name, spec.kind, spec.size, **modality_facts(dataset, name), **repeats(prints[name]), **probe.verdict(name))
        for name, spec in dataset.spec.modalities.items()
    }
    baselines, errors = probe.baselines()
    ids = {key: split.ids for key, split in dataset.splits.items()}
    twice = [first_repeated(names) for names in ids.values()]
    return CheckResult(
        name=dataset.name,
        facts=facts,
        modalities=found,
        shared_groups=shared({key: split.groups for key, split in dataset.splits.items()}),
        baselines=baselines,
        errors=errors,
        chance=probe.chance(),
        rule=probe.rule,
        labels=label_facts(dataset),
        probed={key: len(rows) for key, rows in probe.labels.items()},
        shared_ids=shared(ids),
        repeated_ids=[name for name in twice if name is not None],
        duplicates=duplicates(prints),
        reading=[str(said) for said in _list(dataset.notes.get("reading"))],
        traps=[str(said) for said in _list(dataset.notes.get("traps"))],
        has_groups=probe.groups["train"] is not None,
    )


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value] if value else []


def _verify_alone(dataset: Dataset) -> list[str]:
    for split in dataset.splits.values():
        for name, spec in dataset.spec.modalities.items():
            verify_values(dataset.name, split, name, split.columns[name], spec)
        verify_target(dataset.name, split, dataset)
    return [f"split {name}: {len(split)} samples" for name, split in dataset.splits.items()] + ["values are finite, labels are in range"]


__all__ = ["MOST", "CheckResult", "ModalityCheck", "check", "plain"]
