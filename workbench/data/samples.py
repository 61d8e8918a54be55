"""Own samples for a model that was trained already: plain arrays in, of some or all of its modalities; nothing is known of their labels.

own_samples(spec, {"text": "a fine film", "audio": array_of_time_by_feature})          # one sample; it has no `vision`
own_samples(spec, {"text": ["a fine film", None], "vision": rows, "ids": ["a", "b"]})  # two, the second without words
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from workbench.data.arrays import SPECIAL, as_column, read_samples, token_column
from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.targets import array_error
from workbench.data.verify import verify_values
from workbench.errors import unknown

OWN = "samples"
"""The split that own samples are."""

DIMENSIONS = {"vector": 1, "sequence": 2, "image": 3}
"""Dimensions of one sample."""

SENTENCE = ModalitySpec("tokens", len(SPECIAL), vocabulary=SPECIAL)
"""Sentences for a pretrained model: it has its own words."""


def own_samples(spec: Spec, given: Mapping[str, Any], *, sentences: Collection[str] = (), name: str = "own samples") -> Dataset:
    """A data set of one split, `samples`, checked.

    Args:
        spec: what the model was built for.
        given: modality name to samples, as for `dataset_from_arrays`, or to one sample; None in the place of a sample that lacks the modality, and no
            key where all do; `ids`, where they have names. A sentence becomes tokens by the vocabulary of the spec.
        sentences: modalities that are to be given as sentences whatever the spec says: the model reads them with a pretrained model.
        name: what the data set is called.

    Raises:
        DataError: what is wrong with which key and row, and what was expected.
        ConfigError: a modality that the model does not have.
    """
    for key in given:
        if key not in spec.modalities and key != "ids":
            raise unknown("modality", key, (*spec.modalities, "ids"))
    rows = {key: _rows(given[key], "tokens" if key in sentences else spec.modalities[key].kind) for key in spec.modalities if key in given}
    if not rows:
        raise array_error(name, "there is no modality", OWN, expected=f"one or more of {', '.join(spec.modalities)}")
    n = len(next(iter(rows.values())))
    for key, samples in rows.items():
        if len(samples) != n or not n:
            raise array_error(name, f"{key} has {len(samples)} samples, {next(iter(rows))} has {n}", OWN, key, expected=f"{n or 'some'} samples")
    for row in range(n):
        if all(samples[row] is None for samples in rows.values()):
            raise array_error(name, "a sample has no modality", OWN, row=row, expected=f"one or more of {', '.join(spec.modalities)}")
    ids = [str(one) for one in given.get("ids", [f"sample {i}" for i in range(n)])]
    if len(ids) != n or len(set(ids)) != n:
        raise array_error(name, f"there are {len(set(ids))} ids and {n} samples", OWN, "ids", expected=f"{n} different names")
    specs = {key: SENTENCE if key in sentences else one for key, one in spec.modalities.items()}
    columns = {key: _column(name, key, rows.get(key, [None] * n), one) for key, one in specs.items()}
    spoken = next((key for key, one in specs.items() if one.kind == "tokens"), None)
    texts = None if spoken is None else [said or "" for said in rows.get(spoken, [None] * n)]
    split = Split(OWN, columns, no_target(spec.task, n), ids, texts=texts)
    for key, column in columns.items():
        verify_values(name, split, key, column, specs[key], do="give the features that the model was trained on")
    return Dataset(name, Spec(specs, spec.task), {OWN: split}, notes={"source": "own samples"})


def no_target(task: TaskSpec, n: int) -> torch.Tensor:
    """Zeros in the form of the task's labels."""
    if task.kind == "multilabel":
        return torch.zeros(n, len(task.classes))
    return torch.zeros(n, dtype=torch.float32 if task.kind == "regression" else torch.int64)


def absent(spec: ModalitySpec, n: int) -> Column:
    """A modality that no sample has."""
    return Column(torch.from_numpy(np.stack([_nothing(spec)[0]] * n)), torch.arange(n + 1), torch.zeros(n, dtype=torch.bool))


def _rows(given: Any, kind: str) -> list[Any]:
    """One entry a sample; a single sample becomes a list of one."""
    if given is None or isinstance(given, str):
        return [given]
    if kind != "tokens":
        try:
            array = np.asarray(given)
        except ValueError:
            return list(given)
        if array.dtype.kind in "fiub" and array.ndim == DIMENSIONS[kind]:
            return [array]
    return list(given)


def _column(name: str, key: str, rows: Sequence[Any], spec: ModalitySpec) -> Column:
    """The samples as a column; one step of nothing where a sample lacks the modality."""
    there = [row for row in rows if row is not None]
    if not there:
        return absent(spec, len(rows))
    kind, samples = read_samples(name, OWN, key, there)
    if kind != spec.kind:
        is_of = {"tokens": "sentences", "vector": "vectors", "sequence": "time x feature", "image": "channel x height x width"}
        raise array_error(name, f"{key} holds {is_of[kind]}", OWN, key, expected=f"{is_of[spec.kind]}, one a sample")
    column = token_column(samples, spec.vocabulary) if kind == "tokens" else as_column(samples, kind)
    if len(there) == len(rows):
        return column
    if column.values.shape[1:] != _nothing(spec).shape[1:]:
        return column  # Of the wrong width: refused with its row by what looks at it next.
    left = iter(range(len(there)))
    parts = [_nothing(spec) if row is None else column[next(left)].numpy() for row in rows]
    has = [np.full(len(part), row is not None) for part, row in zip(parts, rows, strict=True)]
    joined = Column.from_list(parts)
    return Column(joined.values, joined.offsets, torch.from_numpy(np.concatenate(has)))


def _nothing(spec: ModalitySpec) -> np.ndarray:
    """One step without a value."""
    if spec.kind == "tokens":
        return np.zeros(1, np.int64)
    return np.zeros((1, *(spec.shape or (spec.size,))), np.float32)
