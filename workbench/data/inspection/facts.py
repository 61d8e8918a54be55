"""What is in each modality, as far as no model is needed. Values are looked at in pieces: a column may be larger than the memory."""

from collections.abc import Iterator
from hashlib import blake2b

import numpy as np
import torch

from workbench.data.batch import UNKNOWN, Column, Dataset, Split


def pieces(column: Column) -> Iterator[np.ndarray]:
    """The steps that are there (none that is missing), `steps feature`, some million values at a time; images laid flat, tokens `steps`."""
    for start, part in column.pieces():
        part = part.flatten(1) if part.dim() > 1 else part
        part = part if column.present is None else part[column.present[start : start + len(part)]]
        yield (part.float() if part.dtype == torch.bfloat16 else part).numpy()


def modality_facts(dataset: Dataset, name: str) -> dict[str, float | int | str]:
    """The facts of one modality (see `check.ModalityCheck`) that no model is needed for."""
    columns = {key: split.columns[name] for key, split in dataset.splits.items()}
    lengths = np.concatenate([column.lengths.numpy() for column in columns.values()])
    found: dict[str, float | int | str] = {"dtype": str(columns["train"].values.dtype).removeprefix("torch.")}
    found |= {"shortest": int(lengths.min()), "median": float(np.median(lengths)), "longest": int(lengths.max())}
    steps = sum(len(column.values) for column in columns.values())
    there = sum(len(column.values) if column.present is None else int(column.present.sum()) for column in columns.values())
    found["missing"] = 1 - there / steps if steps else 0.0
    if dataset.spec.modalities[name].kind == "tokens":
        nothing = {"features": 0, "zero_column_count": 0, "constant_column_count": 0, "zero_columns": 0.0, "constant_columns": 0.0, "zeros": 0.0}
        return found | nothing | {"unknown": _unknown(dataset, name, columns)}
    return found | _columns(columns) | {"unknown": 0.0}


def _unknown(dataset: Dataset, name: str, columns: dict[str, Column]) -> float:
    """The share of the words of valid and test that train does not have; a pretrained model's ids have their own unknown."""
    if dataset.spec.modalities[name].text_model:
        return 0.0
    hits = [(int((part == UNKNOWN).sum()), len(part)) for key, column in columns.items() if key != "train" for part in pieces(column)]
    words = sum(count for _, count in hits)
    return sum(hit for hit, _ in hits) / words if words else 0.0


def _columns(columns: dict[str, Column]) -> dict[str, float | int]:
    """Columns that are 0 throughout (in all splits) or never change (in train), and the share of the values that is 0."""
    width = int(np.prod(columns["train"].values.shape[1:]))
    is_used, low, high = np.zeros(width, bool), np.full(width, np.inf), np.full(width, -np.inf)
    zeros = values = 0
    for key, column in columns.items():
        for part in pieces(column):
            is_zero = part == 0
            is_used |= ~is_zero.all(0)
            zeros, values = zeros + int(is_zero.sum()), values + is_zero.size
            if key == "train" and len(part):
                low, high = np.minimum(low, part.min(0)), np.maximum(high, part.max(0))
    unused, constant = int((~is_used).sum()), int((high <= low).sum())
    found: dict[str, float | int] = {"features": width, "zero_column_count": unused, "constant_column_count": constant}
    return found | {"zero_columns": unused / width, "constant_columns": constant / width, "zeros": zeros / values if values else 0.0}


def fingerprints(split: Split, name: str) -> list[bytes | None]:
    """One short sum a sample; None where the modality is missing (all zeros, or all unknown words)."""
    column = split.columns[name]
    samples = (column[row] for row in range(len(column)))
    # A word that is missing is 0 (padding), one that train does not have UNKNOWN: neither says anything of the sample.
    nothing = UNKNOWN if column.values.dim() == 1 else 0
    return [
        None if bool(((sample == nothing) | (sample == 0)).all()) else blake2b(sample.contiguous().view(torch.uint8).numpy(), digest_size=16).digest()
        for sample in samples
    ]


def repeats(prints: dict[str, list[bytes | None]]) -> dict[str, int]:
    """How often one modality repeats itself, from the fingerprints of each split.

    Returns:
        repeated: samples outside train that are exactly a sample of train; twice: samples of train that are exactly an earlier one of train;
        absent: samples without this modality.
    """
    train = [key for key in prints["train"] if key is not None]
    known = set(train)
    outside = sum(key in known for name, keys in prints.items() if name != "train" for key in keys)
    return {"repeated": outside, "twice": len(train) - len(known), "absent": sum(key is None for keys in prints.values() for key in keys)}


def duplicates(prints: dict[str, dict[str, list[bytes | None]]]) -> int:
    """Samples of all splits that are an earlier sample in every modality; samples without any modality do not count."""
    splits = next(iter(prints.values()))
    whole = [key for split in splits for key in zip(*(found[split] for found in prints.values()), strict=True) if any(key)]
    return len(whole) - len(set(whole))


def shared(names: dict[str, list[str] | None]) -> list[str]:
    """Names (ids, videos, speakers) that stand in more than one split."""
    seen = [name for found in names.values() for name in set(found or ())]
    counts: dict[str, int] = {}
    for name in seen:
        counts[name] = counts.get(name, 0) + 1
    return sorted(name for name, count in counts.items() if count > 1)
