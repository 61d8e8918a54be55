"""Utterances of dialogues, split by split, as a data set: what the readers of MELD and IEMOCAP share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from workbench.data.arrays import modality_spec, token_column, vocabulary
from workbench.data.batch import Column, Dataset, Spec, Split
from workbench.data.card import DataCard
from workbench.errors import DataError


@dataclass
class Utterances:
    """The utterances of one split, in the order of their dialogues.

    Args:
        ids: one unique name an utterance.
        dialogues: the dialogue of each.
        sentences: what is said.
        labels: the class of each.
        features: modality to one vector (float32) an utterance.
    """

    ids: list[str] = field(default_factory=list)
    dialogues: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    features: dict[str, list[np.ndarray]] = field(default_factory=dict)


def dataset_of(card: DataCard, parts: Mapping[str, Utterances], *, where: str, reading: list[str]) -> Dataset:
    """A modality with features becomes vectors; the one without, tokens of the sentences, by the vocabulary of the training sentences.

    Args:
        card: says the modalities and the task.
        parts: the splits.
        where: the file or folder, for errors.
        reading: what reading found, for the notes.

    Raises:
        DataError: a split without utterances, vectors of unequal size, or a kind that the card does not say.
    """
    for split, part in parts.items():
        if not part.ids:
            raise DataError(f"{card.name}: no utterance is in {split}", where=where, expected="one or more")
    columns: dict[str, dict[str, Column]] = {split: {} for split in parts}
    specs = {}
    for name, modality in card.modalities.items():
        kind = "vector" if name in parts["train"].features else "tokens"
        if kind not in (modality.kind, *modality.also):
            raise DataError(f"{card.name}: {name} is read as {kind}", where=card.place("modalities", name, "kind"), expected=f"kind: {modality.kind}")
        known = vocabulary(parts["train"].sentences) if kind == "tokens" else ()
        for split, part in parts.items():
            columns[split][name] = token_column(part.sentences, known) if kind == "tokens" else _vectors(card, name, split, part, where)
        specs[name] = modality_spec(kind, (columns[split][name] for split in parts), vocabulary=known)
    splits = {
        split: Split(split, columns[split], torch.tensor(part.labels, dtype=torch.int64), part.ids, part.dialogues, part.sentences)
        for split, part in parts.items()
    }
    return Dataset(card.name, Spec(specs, card.task.spec()), splits, notes={"reading": reading})


def _vectors(card: DataCard, name: str, split: str, part: Utterances, where: str) -> Column:
    """One vector an utterance."""
    rows = part.features[name]
    for row, vector in enumerate(rows):
        if vector.shape != rows[0].shape:
            raise DataError(
                f"{card.name}: {name} has {len(vector)} features here and {len(rows[0])} in {part.ids[0]}",
                where=f"{where}, split {split}, {part.ids[row]}",
                expected="one size",
            )
    return Column.from_rows(np.stack(rows))
