"""Own data: plain arrays in, a checked `Dataset` out; and the one home of words and vocabularies.

dataset_from_arrays("mine", {"train": {"text": [...], "audio": array, "target": array}, "valid": {...}}, task=TaskSpec("regression"))
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from workbench.data.batch import UNKNOWN, Column, Dataset, Kind, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.names import first_repeated
from workbench.data.targets import array_error, read_target
from workbench.data.verify import verify_target, verify_values
from workbench.errors import DataError, near, unknown

SPECIAL = ("<padding>", "<unknown>")
"""The words of the token ids PADDING and UNKNOWN."""

RESERVED = ("target", "ids", "groups")
SPLITS = ("train", "valid", "test")
Samples = np.ndarray | list[np.ndarray] | list[str]


def words(sentence: str) -> list[str]:
    """The words of a sentence: lower case, split at white space. To split otherwise, join the pieces by spaces before."""
    return sentence.lower().split()


def vocabulary(sentences: Iterable[str]) -> tuple[str, ...]:
    """The words of some sentences (give the training ones only), the most frequent first, behind the two special tokens."""
    counts = Counter(word for sentence in sentences for word in words(sentence))
    return (*SPECIAL, *sorted(counts, key=lambda word: (-counts[word], word)))


def token_column(sentences: Sequence[str], vocabulary: Sequence[str]) -> Column:
    """Each sentence as token ids; a word outside the vocabulary, and a sentence without words, becomes UNKNOWN."""
    number = {word: i for i, word in enumerate(vocabulary)}
    return Column.from_list(
        [np.array([number.get(word, UNKNOWN) for word in words(sentence)] or [UNKNOWN], dtype=np.int64) for sentence in sentences]
    )


def modality_spec(kind: Kind, columns: Iterable[Column], *, rate: float | None = None, vocabulary: Sequence[str] = ()) -> ModalitySpec:
    """The spec that fits a modality's columns: feature size from the first, longest length of all."""
    columns = list(columns)
    shape = tuple(columns[0].values.shape[1:])
    size = len(vocabulary) if kind == "tokens" else shape[0]
    length = max(int(column.lengths.max()) for column in columns)
    return ModalitySpec(kind, size, length, rate, tuple(vocabulary), shape=shape if kind == "image" else ())


def dataset_from_arrays(
    name: str, splits: Mapping[str, Mapping[str, object]], *, task: TaskSpec, rates: Mapping[str, float] | None = None
) -> Dataset:
    """A data set from plain arrays, checked.

    Args:
        name: what the data set is called.
        splits: `train`, `valid` and, if there is one, `test`; each a mapping of modality name to samples, with `target` and, if known,
            `ids` (unique names) and `groups` (speaker or video of each sample). Samples are a list of sentences (become tokens by the
            training vocabulary), `samples feature` (vectors), `samples time feature` or a list of `time feature` (sequences), or
            `samples channel height width` (images). The order of the modalities is that of `train`.
        task: what `target` holds; for classes their numbers or their names; for labels `samples label` of 0 and 1, or a list of names a sample.
        rates: steps a second of sequences, where known [Hz].

    Raises:
        DataError: what is wrong with which split, key and row, and what was expected.
        ConfigError: a rate for a modality that is not there.
    """
    _check_keys(name, splits)
    modalities = [key for key in splits["train"] if key not in RESERVED]
    for key in rates or {}:
        if key not in modalities:
            raise unknown("modality", key, modalities)
    read = {split: {key: read_samples(name, split, key, parts[key]) for key in modalities} for split, parts in splits.items()}
    order = [split for split in SPLITS if split in splits]
    made: dict[str, dict[str, Column]] = {split: {} for split in order}
    specs: dict[str, ModalitySpec] = {}
    for key in modalities:
        kind = _one_kind(name, key, {split: read[split][key][0] for split in order})
        sentences = {split: list(read[split][key][1]) for split in order} if kind == "tokens" else {}
        known = vocabulary(sentences["train"]) if kind == "tokens" else ()
        for split in order:
            made[split][key] = token_column(sentences[split], known) if kind == "tokens" else as_column(read[split][key][1], kind)
        specs[key] = modality_spec(kind, (made[split][key] for split in order), rate=(rates or {}).get(key), vocabulary=known)
    spoken = next((key for key in modalities if specs[key].kind == "tokens"), None)
    spec = Spec(specs, task)
    dataset = Dataset(name, spec, {}, notes={"source": "arrays"})
    for split in order:
        texts = list(read[split][spoken][1]) if spoken else None
        dataset.splits[split] = _split(dataset, split, made[split], splits[split], texts)
    _check_ids(dataset)
    return dataset


def _check_keys(name: str, splits: Mapping[str, Mapping[str, object]]) -> None:
    """Known splits, train and valid among them; the same modalities everywhere, and a target."""
    for split in splits:
        if split not in SPLITS:
            raise DataError(f'{name}: unknown split "{split}".{near(split, SPLITS)}', expected=f"one of {', '.join(SPLITS)}")
    for split in ("train", "valid"):
        if split not in splits:
            do = "keep some training samples as valid (whole speakers or videos): nothing may be chosen on test"
            raise DataError(f"{name}: the split {split} is missing", expected="train and valid, and test where there is one", do=do)
    modalities = [key for key in splits["train"] if key not in RESERVED]
    if not modalities:
        raise array_error(name, "there is no modality", "train", expected=f"one key or more beside {', '.join(RESERVED)}")
    for split, parts in splits.items():
        for key in (*modalities, "target"):
            if key not in parts:
                raise array_error(
                    name,
                    f'the key "{key}" is missing.{near(key, set(parts) - set(modalities))}',
                    split,
                    key,
                    expected=", ".join((*modalities, "target")),
                )
        for key in parts:
            if key not in modalities and key not in RESERVED:
                raise array_error(
                    name, f'the key "{key}" is not in train.{near(key, modalities)}', split, key, expected=", ".join((*modalities, *RESERVED))
                )


def read_samples(name: str, split: str, key: str, given: object) -> tuple[Kind, Samples]:
    """The kind that the given samples have, and the samples as float32 arrays or sentences.

    Raises:
        DataError: no samples, or such that are not of one kind and shape.
    """
    rows = given if isinstance(given, list | tuple) else np.asarray(given)
    if (isinstance(rows, np.ndarray) and rows.ndim == 0) or len(rows) == 0:
        raise array_error(name, f"{key} has no samples", split, key, expected="one sample or more")
    is_text = [isinstance(row, str) for row in rows]
    if all(is_text):
        return "tokens", [str(row) for row in rows]
    if any(is_text):
        row = is_text.index(not is_text[0])
        raise array_error(name, f"{key} has sentences and numbers", split, key, row, expected="a sentence in every row, or numbers in every row")
    if isinstance(rows, np.ndarray) and rows.dtype != object:
        return _kind(name, split, key, _numbers(name, split, key, rows, None))
    arrays = [_numbers(name, split, key, row, i) for i, row in enumerate(rows)]
    for i, array in enumerate(arrays):
        if array.ndim != arrays[0].ndim or array.shape[1:] != arrays[0].shape[1:] or (array.ndim != 2 and array.shape != arrays[0].shape):
            raise array_error(
                name,
                f"{key} is {list(array.shape)} here and {list(arrays[0].shape)} in row 0",
                split,
                key,
                i,
                expected="one shape; only time may differ",
            )
    if arrays[0].ndim != 2 or len({len(array) for array in arrays}) == 1:
        return _kind(name, split, key, np.stack(arrays))
    for i, array in enumerate(arrays):
        if not len(array):
            raise array_error(name, f"{key} has a sample without a step", split, key, i, expected="one step or more a sample")
    return "sequence", arrays


def _numbers(name: str, split: str, key: str, given: object, row: int | None) -> np.ndarray:
    """The given values as float32."""
    try:
        array = np.asarray(given)
    except ValueError:
        raise array_error(name, f"{key} has rows of unequal length", split, key, row, expected="numbers in a regular array") from None
    if array.dtype.kind not in "fiub":
        raise array_error(name, f"{key} holds {array.dtype}, not numbers", split, key, row, expected="float32, or sentences")
    with np.errstate(over="ignore"):  # What float32 cannot hold becomes infinite, and is then refused with its row.
        return array.astype(np.float32)


def _kind(name: str, split: str, key: str, rows: np.ndarray) -> tuple[Kind, np.ndarray]:
    kinds: dict[int, Kind] = {2: "vector", 3: "sequence", 4: "image"}
    if rows.ndim not in kinds or 0 in rows.shape:
        expected = "samples x feature, samples x time x feature, samples x channel x height x width, or a list of time x feature"
        raise array_error(name, f"{key} has the shape {list(rows.shape)}", split, key, expected=expected)
    return kinds[rows.ndim], rows


def _one_kind(name: str, key: str, kinds: Mapping[str, Kind]) -> Kind:
    for split, kind in kinds.items():
        if kind != kinds["train"]:
            raise array_error(name, f"{key} is of kind {kind} here and {kinds['train']} in train", split, key, expected=kinds["train"])
    return kinds["train"]


def as_column(rows: Samples, kind: Kind) -> Column:
    """The samples of `read_samples`, of any kind but sentences, as a column."""
    return Column.from_list(list(rows)) if kind == "sequence" else Column.from_rows(np.asarray(rows))


def _split(dataset: Dataset, split: str, columns: dict[str, Column], parts: Mapping[str, object], texts: list[str] | None) -> Split:
    """One checked split."""
    name, task = dataset.name, dataset.spec.task
    target = read_target(name, split, parts["target"], task)
    n = len(target)
    ids = _names(name, split, "ids", parts.get("ids"), n) or [f"{split}_{i}" for i in range(n)]
    made = Split(split, columns, target, ids, _names(name, split, "groups", parts.get("groups"), n), texts)
    for key, column in columns.items():
        if len(column) != n:
            raise array_error(name, f"{key} has {len(column)} samples, target has {n}", split, key, expected=f"{n} samples")
        verify_values(name, made, key, column, dataset.spec.modalities[key], do="every split needs the features of train")
    verify_target(name, made, dataset)
    return made


def _names(name: str, split: str, key: Literal["ids", "groups"], given: object, n: int) -> list[str] | None:
    if given is None:
        return None
    names = [str(item) for item in given]
    if len(names) != n:
        raise array_error(name, f"{key} has {len(names)} samples, target has {n}", split, key, expected=f"{n} samples")
    return names


def _check_ids(dataset: Dataset) -> None:
    """An id that stands twice is an error; in two splits it would be a leak."""
    repeated = first_repeated(sample for split in dataset.splits.values() for sample in split.ids)
    if repeated is not None:
        found = [name for name, split in dataset.splits.items() if repeated in split.ids]
        raise DataError(f'{dataset.name}: the id "{repeated}" stands twice', where=f"split {' and '.join(found)}", expected="one unique id a sample")


__all__ = ["SPECIAL", "as_column", "dataset_from_arrays", "modality_spec", "read_samples", "token_column", "vocabulary", "words"]
