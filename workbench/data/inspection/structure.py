"""Is a data set well formed? Each malformation is an error that names split and modality, so that nothing behind it fails without a word."""

import torch
from torch import Tensor

from workbench.data.batch import Column, Dataset, ModalitySpec, Split
from workbench.errors import DataError


def verify_structure(dataset: Dataset) -> None:
    """Splits, columns, offsets and labels fit each other; the values themselves are `verify_values`'s.

    Raises:
        DataError: no train or valid split, an empty split, a modality that is missing, offsets that do not count the steps, a column of other
            dimensions or numbers than its kind has, or as many labels, ids, groups, sentences or flags as there are not samples.
    """
    for name in ("train", "valid"):
        if name not in dataset.splits:
            raise DataError(
                f"{dataset.name}: the split {name} is missing",
                where=f"splits {', '.join(dataset.splits) or 'none'}",
                expected="train and valid, and test where there is one",
                do="keep some training samples as valid (whole speakers or videos): nothing may be chosen on test",
            )
    if not dataset.spec.modalities:
        raise DataError(f"{dataset.name}: there is no modality", expected="one or more")
    for key, split in dataset.splits.items():
        _verify_tensor(dataset.name, f"split {key}, target", "the target", split.target)
        if not len(split.target):
            raise DataError(f"{dataset.name}: the split {key} is empty", where=f"split {key}", expected="one sample or more")
        _verify_target_shape(dataset, key, split)
        for name, spec in dataset.spec.modalities.items():
            if name not in split.columns:
                raise DataError(f"{dataset.name}: {name} is missing", where=f"split {key}", expected=", ".join(dataset.spec.modalities))
            verify_column(dataset.name, f"split {key}, {name}", name, split.columns[name], spec)
        _verify_counts(dataset.name, key, split, tuple(dataset.spec.modalities))


def _verify_target_shape(dataset: Dataset, key: str, split: Split) -> None:
    """One number a sample; for multilabel one 0 or 1 a label."""
    task, target = dataset.spec.task, split.target
    shape = (len(target), len(task.classes)) if task.kind == "multilabel" else (len(target),)
    if tuple(target.shape) != shape:
        raise DataError(f"{dataset.name}: the target has the shape {list(target.shape)}", where=f"split {key}, target", expected=f"{list(shape)}")
    is_right = not target.is_floating_point() if task.kind == "multiclass" else True
    if not is_right or target.dtype == torch.bool or target.is_complex():
        raise DataError(
            f"{dataset.name}: the target holds {_kind(target)}",
            where=f"split {key}, target",
            expected="whole class numbers" if task.kind == "multiclass" else "numbers",
        )


def verify_column(owner: str, where: str, name: str, column: Column, spec: ModalitySpec) -> None:
    """The offsets count the steps, and the values have the dimensions and numbers of the modality's kind.

    Raises:
        DataError: they do not.
    """
    offsets, values = column.offsets, column.values
    for what, found in ((f"the values of {name}", values), (f"the offsets of {name}", offsets)):
        _verify_tensor(owner, where, what, found)
    is_list = offsets.dim() == 1 and offsets.dtype == torch.int64 and len(offsets) > 0
    if not is_list or int(offsets[0]) != 0 or int(offsets[-1]) != len(values):
        expected = f"whole numbers from 0 to {len(values)} (the steps there are)"
        raise DataError(f"{owner}: the offsets of {name} do not count its steps", where=where, expected=expected)
    back = (offsets.diff() < 0).nonzero()
    if len(back):
        raise DataError(f"{owner}: the offsets of {name} go back", where=f"{where}, row {int(back[0])}", expected="each sample after the one before")
    dimensions = {"tokens": 1, "image": 4}.get(spec.kind, 2)
    if values.dim() != dimensions:
        expected = {1: "steps", 2: "steps, features", 4: "steps, channels, height, width"}[dimensions]
        raise DataError(f"{owner}: {name} has {values.dim()} dimensions", where=where, expected=f"{dimensions}: {expected}")
    is_right = not values.is_floating_point() and not values.is_complex() if spec.kind == "tokens" else values.is_floating_point()
    if not is_right:
        expected = "whole numbers" if spec.kind == "tokens" else "floating point"
        raise DataError(f"{owner}: {name} holds {_kind(values)}", where=where, expected=expected)
    if column.present is not None:
        _verify_tensor(owner, where, f"the flags of missing steps of {name}", column.present)
        if tuple(column.present.shape) != (len(values),) or column.present.dtype != torch.bool:
            found = f"have the shape {list(column.present.shape)} and hold {_kind(column.present)}"
            raise DataError(f"{owner}: the flags of missing steps of {name} {found}", where=where, expected=f"[{len(values)}], bool")


def _verify_tensor(owner: str, where: str, what: str, value: object) -> None:
    """An array of one dimension or more."""
    if not isinstance(value, Tensor) or value.dim() == 0:
        found = f"{type(value).__name__} of no dimension" if isinstance(value, Tensor) else type(value).__name__
        raise DataError(f"{owner}: {what} is no array but {found}", where=where, expected="a torch tensor of one dimension or more")


def _verify_counts(owner: str, key: str, split: Split, modalities: tuple[str, ...]) -> None:
    """As many of everything as there are labels."""
    found = {name: len(split.columns[name]) for name in modalities} | {"ids": len(split.ids)}
    found |= {name: len(rows) for name, rows in (("groups", split.groups), ("texts", split.texts)) if rows is not None}
    for name, rows in split.labels.items():
        _verify_tensor(owner, f"split {key}, labels", f"what stands as labels of {name}", rows)
        found[f"labels of {name}"] = len(rows)
    for name, count in found.items():
        if count != len(split.target):
            what = f"{name} has {count} samples, the target has {len(split.target)}"
            raise DataError(f"{owner}: {what}", where=f"split {key}, {name}", expected=f"{len(split.target)} samples")


def _kind(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")
