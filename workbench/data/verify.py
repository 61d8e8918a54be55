"""Holds data against its card: each way to differ is an error of its own that names split, row, field and the card's line."""

import torch

from workbench.data.batch import Column, Dataset, ModalitySpec, Split, TaskSpec
from workbench.data.card import DataCard
from workbench.data.card_fields import TaskCard
from workbench.data.names import first_repeated
from workbench.errors import DataError


def verify(card: DataCard, dataset: Dataset) -> list[str]:
    """Holds a data set against its card; returns what was verified, one sentence a fact.

    Raises:
        DataError: a split is missing, extra or of another size; a modality is missing, extra, out of order, of another kind,
            size, shape or rate; another task; a sample without steps, NaN or infinity, an unknown token; a label out of range or of
            no class; an id that stands twice; a video or speaker in a split that the card's folds do not say.
    """
    _verify_splits(card, dataset)
    _verify_modalities(card, dataset)
    task, place = _task(card, dataset)
    for split in dataset.splits.values():
        _verify_counts(card, split)
        for name, column in split.columns.items():
            verify_values(card.name, split, name, column, dataset.spec.modalities[name], do=_check(card, "modalities", name, "size"))
        verify_target(card.name, split, dataset, do=_check(card, *place, "range" if task.kind == "regression" else "classes"))
        _verify_groups(card, split)
        _verify_alone(card, split, task, place)
    _verify_apart(card, dataset)
    return _facts(card, dataset, task)


def _task(card: DataCard, dataset: Dataset) -> tuple[TaskCard, tuple[str, ...]]:
    """Which of the card's tasks the data has, and where it stands in the card."""
    found = card.task_of(dataset.spec.task)
    if found is None:
        known = " or ".join(str(task.spec()) for task in (card.task, *card.other_tasks.values()))
        raise _differs(card, f"the task is {dataset.spec.task}", known, "task")
    return found


def _check(card: DataCard, *field: str | int) -> str:
    return f"check the file: workbench data check {card.name}; or correct `{field[-1]}:` in {card.place(*field)}"


def _differs(card: DataCard, what: str, expected: str, *field: str | int, where: str = "") -> DataError:
    return DataError(f"{card.name}: {what}, the card says {expected}", where=where, expected=expected, do=_check(card, *field))


def _verify_splits(card: DataCard, dataset: Dataset) -> None:
    for name, count in card.splits.items():
        if name not in dataset.splits:
            raise _differs(card, f"the split {name} is missing", f"{name}: {count}", "splits", name)
        found = len(dataset.splits[name])
        if count is not None and found != count:
            raise _differs(card, f"the split {name} has {found} samples", str(count), "splits", name, where=f"split {name}")
    for name in dataset.splits:
        if name not in card.splits:
            raise _differs(card, f"there is a further split {name}", f"only {', '.join(card.splits)}", "splits", where=f"split {name}")


def _verify_modalities(card: DataCard, dataset: Dataset) -> None:
    for split in dataset.splits.values():
        where = f"split {split.name}"
        for name in card.modalities:
            if name not in split.columns or name not in dataset.spec.modalities:
                raise _differs(card, f"the modality {name} is missing", ", ".join(card.modalities), "modalities", name, where=where)
        for name in (*split.columns, *dataset.spec.modalities):
            if name not in card.modalities:
                raise _differs(card, f"there is a further modality {name}", f"only {', '.join(card.modalities)}", "modalities", where=where)
        if list(split.columns) != list(card.modalities):
            raise _differs(card, f"the modalities come as {', '.join(split.columns)}", ", ".join(card.modalities), "modalities", where=where)
    for name, modality in card.modalities.items():
        spec = dataset.spec.modalities[name]
        if spec.kind in modality.also:
            continue
        if spec.kind != modality.kind:
            raise _differs(card, f"{name} is of kind {spec.kind}", modality.kind, "modalities", name, "kind")
        if modality.size is not None and spec.size != modality.size:
            word = {"tokens": "words", "image": "channels"}.get(spec.kind, "columns")
            raise _differs(card, f"{name} has {spec.size} {word}", str(modality.size), "modalities", name, "size", where=f"modality {name}")
        if modality.shape and list(spec.shape) != modality.shape:
            raise _differs(card, f"{name} has the shape {list(spec.shape)}", str(modality.shape), "modalities", name, "shape")
        if spec.rate != modality.rate:
            raise _differs(card, f"{name} has the rate {spec.rate}", str(modality.rate), "modalities", name, "rate")


def _verify_counts(card: DataCard, split: Split) -> None:
    n = len(split)
    counts = {"ids": len(split.ids)} | {name: len(column) for name, column in split.columns.items()}
    counts |= {key: len(rows) for key, rows in (("groups", split.groups), ("texts", split.texts)) if rows is not None}
    for name, found in counts.items():
        if found != n:
            raise DataError(
                f"{card.name}: {name} has {found} samples, the target has {n}", where=f"split {split.name}, {name}", expected=f"{n} samples"
            )
    repeated = first_repeated(split.ids)
    if repeated is not None:
        raise DataError(f'{card.name}: the id "{repeated}" stands twice', where=f"split {split.name}", expected="one unique id a sample")


def verify_values(owner: str, split: Split, name: str, column: Column, spec: ModalitySpec, *, do: str = "") -> None:
    """Every step of a modality is finite, of the right width, and (tokens) in the vocabulary; every sample has a step."""
    where = f"split {split.name}, {name}"
    empty = (column.lengths == 0).nonzero()
    if len(empty):
        raise DataError(
            f"{owner}: {name} has a sample without a step", where=f"{where}, {_row(split, int(empty[0]))}", expected="one step or more a sample"
        )
    values = column.values
    if spec.kind != "tokens":
        width = values.shape[1]
        if width != spec.size or (spec.shape and tuple(values.shape[1:]) != spec.shape):
            shape = list(spec.shape) if spec.shape else [spec.size]
            raise DataError(f"{owner}: {name} is {list(values.shape[1:])} a step", where=f"{where}, first at row 0", expected=f"{shape}", do=do)
    at = _first_wrong(column, spec)
    if at is not None:
        row = int(torch.searchsorted(column.offsets, at[0], right=True)) - 1
        step = f", step {at[0] - int(column.offsets[row])}" if spec.kind in ("sequence", "tokens") else ""
        feature = f", column {at[1]}" if len(at) > 1 else ""
        value = (values[at[0]] if spec.kind == "tokens" else values[at[0]].flatten()[at[1]]).item()
        what, expected = (
            (f"token id {value} is in no vocabulary", f"0 to {spec.size - 1}") if spec.kind == "tokens" else (f"a value is {value}", "finite numbers")
        )
        raise DataError(
            f"{owner}: {name}: {what}", where=f"{where}, {_row(split, row)}{step}{feature}", expected=expected, do=do if spec.kind == "tokens" else ""
        )


def _first_wrong(column: Column, spec: ModalitySpec) -> list[int] | None:
    """Step and feature of the first value that cannot be: not finite, or an id outside the vocabulary."""
    for start, piece in column.pieces():
        wrong = (piece < 0) | (piece >= spec.size) if spec.kind == "tokens" else ~torch.isfinite(piece.flatten(1))
        if bool(wrong.any()):
            first, *feature = wrong.nonzero()[0].tolist()
            return [start + first, *feature]
    return None


def _row(split: Split, row: int) -> str:
    return f"row {row} ({split.ids[row]})" if row < len(split.ids) else f"row {row}"


def verify_target(owner: str, split: Split, dataset: Dataset, *, do: str = "") -> None:
    """Every label is a finite number in the task's range, the number of a class, or a row of 0 and 1."""
    task, target = dataset.spec.task, split.target
    if task.kind == "multilabel":
        _verify_labels(owner, split, task, do=do)
        return
    if task.kind == "regression":
        wrong = ~((target >= task.low) & (target <= task.high))
        expected = f"a number in {task.low:g} to {task.high:g}"
    else:
        wrong = (target < 0) | (target >= len(task.classes))
        expected = f"0 to {len(task.classes) - 1}: {', '.join(task.classes)}"
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        what = f"the label {target[row].item():g} is {'out of range' if task.kind == 'regression' else 'of no class'}"
        raise DataError(f"{owner}: {what}", where=f"split {split.name}, {_row(split, row)}, target", expected=expected, do=do)


def _verify_labels(owner: str, split: Split, task: TaskSpec, *, do: str) -> None:
    """Every label of a multilabel task is 0 or 1."""
    target, expected = split.target, f"one 0 or 1 for each of {', '.join(task.classes)}"
    if target.dim() != 2 or target.shape[1] != len(task.classes):
        raise DataError(f"{owner}: the target is {list(target.shape)}", where=f"split {split.name}, target", expected=expected, do=do)
    wrong = (target != 0) & (target != 1)
    if bool(wrong.any()):
        row, label = wrong.nonzero()[0].tolist()
        what = f"the label {task.classes[label]} is {target[row, label].item():g}"
        raise DataError(f"{owner}: {what}", where=f"split {split.name}, {_row(split, row)}, target", expected=expected, do=do)


def _verify_groups(card: DataCard, split: Split) -> None:
    fold = card.folds.get(split.name)
    if fold is None:
        return
    wrong = sorted(set(split.groups or ()) - set(fold))
    if wrong:
        raise _differs(card, f"{wrong[0]} is in the split {split.name}", "otherwise", "folds", split.name, where=f"split {split.name}, groups")
    # A copy that lacks a video is said, not refused: where the card knows the counts, they refuse it.
    if split.groups is None:
        raise _differs(card, f"the videos or speakers of the split {split.name} are not known", "folds", "folds", split.name)


def _verify_alone(card: DataCard, split: Split, task: TaskCard, place: tuple[str, ...]) -> None:
    """What each modality alone says is on the scale of the task: scores in its range; of several labels the probability of each."""
    low, high = (0.0, 1.0) if task.kind == "multilabel" else task.range or (-torch.inf, torch.inf)
    shape = (len(split), len(task.classes)) if task.kind == "multilabel" else (len(split),)
    for name, values in split.labels.items():
        where = f"split {split.name}, labels of {name}"
        if len(values) != len(split):
            raise DataError(f"{card.name}: {len(values)} labels of {name} for {len(split)} samples", where=where, expected=f"{len(split)} labels")
        if tuple(values.shape) != shape:
            raise DataError(f"{card.name}: the labels of {name} are {list(values.shape)}", where=where, expected=f"{list(shape)}, as the target")
        wrong = ~((values >= low) & (values <= high)).reshape(len(split), -1).all(1)
        if bool(wrong.any()) and task.kind != "multiclass":
            row = int(wrong.nonzero()[0][0])
            said = ", ".join(f"{value:g}" for value in values[row].reshape(-1).tolist())
            expected = f"a number in {low:g} to {high:g}" if task.range else f"a probability for each of {', '.join(task.classes)}"
            do = _check(card, *place, "range" if task.range else "classes")
            raise DataError(f"{card.name}: what {name} alone says is {said}", where=f"{where}, {_row(split, row)}", expected=expected, do=do)


def _verify_apart(card: DataCard, dataset: Dataset) -> None:
    """No sample is in two splits, and all splits have the labels of the same single modalities."""
    splits = list(dataset.splits.values())
    for i, split in enumerate(splits):
        for other in splits[i + 1 :]:
            shared = set(split.ids) & set(other.ids)
            if shared:
                what = (
                    f'{card.name}: the id "{min(shared)}" and {len(shared) - 1} more stand in two splits'
                    if len(shared) > 1
                    else (f'{card.name}: the id "{min(shared)}" stands in two splits')
                )
                where = f"split {split.name} and split {other.name}"
                raise DataError(
                    what,
                    where=where,
                    expected="each sample in one split",
                    do="correct the files: a score on a sample that was trained on says nothing",
                )
            if set(split.labels) != set(other.labels):
                name = min(set(split.labels) ^ set(other.labels))
                where = f"split {split.name} and split {other.name}"
                raise DataError(f"{card.name}: only one of two splits has labels of {name} alone", where=where, expected="all splits or none")


def _facts(card: DataCard, dataset: Dataset, task: TaskCard) -> list[str]:
    facts = [f"split {name}: {len(split)} samples" for name, split in dataset.splits.items()]
    facts += [f"{name}: {spec.kind}, size {spec.size}, finite everywhere" for name, spec in dataset.spec.modalities.items() if spec.kind != "tokens"]
    facts += [f"{name}: tokens of {spec.size} words" for name, spec in dataset.spec.modalities.items() if spec.kind == "tokens"]
    which = "any" if task.kind == "multilabel" else "one"
    facts.append(f"labels in {task.range[0]:g} to {task.range[1]:g}" if task.range else f"labels: {which} of {', '.join(task.classes)}")
    if card.folds:
        absent = sum(len(set(fold) - set(dataset.splits[name].groups or ())) for name, fold in card.folds.items() if name in dataset.splits)
        facts.append("each video or speaker is in the split that the card says" + (f"; {absent} of the card's are not in the data" if absent else ""))
    sums = dataset.notes.get("files", {})
    files = [source for source in card.sources if source.path in sums] or card.sources
    summed = sum(source.sha256 is not None for source in files)
    if files:
        facts.append(f"{summed} of {len(files)} files have the sha256 of the card" if summed else "the card gives no sums for its files")
    return facts
