"""IEMOCAP as conv-emotion ships it: a pickle with one vector an utterance for text, audio and vision, dialogue by dialogue.

Variant `features`: `IEMOCAP_features_raw.pkl`, nine parts, no valid split: some dialogues of train become one. Variant `roberta`: text from the
ten parts of `iemocap_features_roberta.pkl`, with its splits; audio and vision from the first file. Sources have the roles `features`, `roberta`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.data.batch import Dataset
from workbench.data.card import DataCard
from workbench.data.reading.advice import advised
from workbench.data.reading.dialogues import Dialogues, read_dialogues
from workbench.data.reading.utterances import Utterances, dataset_of
from workbench.errors import ConfigError, DataError, unknown

FEATURES = ("ids", "speakers", "labels", "text", "audio", "vision", "sentences", "train", "test")
LAYERS = ("roberta1", "roberta2", "roberta3", "roberta4")
ROBERTA = ("speakers", "labels", *LAYERS, "sentences", "train", "test", "valid")
SESSION = slice(0, 5)
"""The session of a dialogue: Ses05 of Ses05F_impro01. The two speakers of a session are in no other."""


@advised
def read(
    card: DataCard,
    root: Path,
    *,
    variant: str = "features",
    text: Literal["features", "tokens"] = "features",
    layer: int | None = None,
    split_by: Literal["dialogue", "session"] = "dialogue",
    valid_share: float = 0.1,
    seed: int = 0,
) -> Dataset:
    """One sample an utterance; test is the file's own (session 5).

    Args:
        card: names the files by role.
        root: the data root.
        variant: `features` or `roberta`.
        text: `features`, the vectors of the file; or `tokens`, the words of the sentences.
        layer: 1 to 4, the RoBERTa layer to take; None: the mean of the four.
        split_by: where valid comes from in the variant `features`: whole dialogues of train by chance, or the last `session` of train, whose
            speakers are then in valid only.
        valid_share: share of the train dialogues that become valid (split_by `dialogue`).
        seed: of the choice.

    Raises:
        DataError: a file that is not as described; which part, dialogue and utterance, and what was expected.
        ConfigError: an unknown or impossible option.
    """
    _check(variant, text, layer, split_by, valid_share)
    source = variant if variant in card.variants else ""
    content = read_dialogues(card.file(root, "features", variant=source), [FEATURES])
    spoken = read_dialogues(card.file(root, "roberta", variant=source), [ROBERTA]) if variant == "roberta" else None
    if spoken is not None:
        splits, how = {split: spoken.names(split) for split in ("train", "valid", "test")}, "valid: the dialogues that the RoBERTa file lists"
    else:
        splits, how = _splits(content, split_by=split_by, valid_share=valid_share, seed=seed)
    _check_apart(content if spoken is None else spoken, splits)
    left = len(set(content.names("labels")).difference(*splits.values()))
    reading = [how, *([f"{left} dialogues are in no split: left out"] if left else [])]
    parts = {split: _utterances(card, content, spoken, names, text=text, layer=layer) for split, names in splits.items() if split in card.splits}
    return dataset_of(card, parts, where=str(content.path), reading=reading)


def _check(variant: str, text: str, layer: int | None, split_by: str, valid_share: float) -> None:
    """The options are known and fit together."""
    known = {"variant": ("features", "roberta"), "text": ("features", "tokens"), "split_by": ("dialogue", "session")}
    for kind, value in (("variant", variant), ("text", text), ("split_by", split_by)):
        if value not in known[kind]:
            raise unknown(kind, value, known[kind])
    if layer is not None and (variant != "roberta" or layer not in range(1, 5)):
        raise ConfigError(f"there is no layer {layer}", where=f"variant {variant}", expected="1 to 4, of the variant roberta")
    if not 0 < valid_share < 1:
        raise ConfigError(f"valid_share is {valid_share}", expected="a share between 0 and 1")


def _splits(content: Dialogues, *, split_by: str, valid_share: float, seed: int) -> tuple[dict[str, list[str]], str]:
    """The dialogues of each split, and a sentence about it: the same for everybody."""
    train = content.names("train")
    if split_by == "session":
        last = max(name[SESSION] for name in train)
        valid = {name for name in train if name[SESSION] == last}
        how = f"valid: the {len(valid)} train dialogues of {last}, whose speakers are in no other split"
    else:
        order = np.random.default_rng(seed).permutation(len(train))
        valid = {train[i] for i in order[: max(1, round(valid_share * len(train)))]}
        how = f"valid: {len(valid)} of {len(train)} train dialogues by seed {seed}; their speakers are in train too"
    if len(valid) == len(train):
        raise content.bad("train", f"nothing is left to train on: all {len(train)} dialogues would be valid", "dialogues of two sessions or more")
    return {"train": [name for name in train if name not in valid], "valid": sorted(valid), "test": content.names("test")}, how


def _check_apart(content: Dialogues, splits: Mapping[str, list[str]]) -> None:
    seen: dict[str, str] = {}
    for split, names in splits.items():
        for name in names:
            if name in seen:
                raise content.bad(split, f"the dialogue {name} is in {seen[name]} and in {split}", "each dialogue in one split")
            seen[name] = split


def _utterances(card: DataCard, content: Dialogues, spoken: Dialogues | None, names: list[str], *, text: str, layer: int | None) -> Utterances:
    """The utterances of some dialogues."""
    part = Utterances()
    for dialogue in names:
        labels = content.labels("labels", dialogue, card.task.classes)
        part.labels += labels
        part.ids += content.texts("ids", dialogue, len(labels))
        part.dialogues += [dialogue] * len(labels)
        part.sentences += content.texts("sentences", dialogue, len(labels))
        if spoken is not None and spoken.labels("labels", dialogue, card.task.classes) != labels:
            raise spoken.bad("labels", f"the labels of {dialogue} are not those of {content.path.name}", "two files of the same utterances")
        for name in card.modalities:
            if name == "text" and text == "tokens":
                continue
            is_spoken = name == "text" and spoken is not None
            rows = _layers(spoken, dialogue, len(labels), layer) if is_spoken else content.numbers(name, dialogue, len(labels))
            part.features.setdefault(name, []).extend(rows)
    return part


def _layers(spoken: Dialogues, dialogue: str, count: int, layer: int | None) -> np.ndarray:
    """One RoBERTa layer, or the mean of the four: `utterances feature`."""
    found = [spoken.numbers(name, dialogue, count) for name in (LAYERS if layer is None else LAYERS[layer - 1 : layer])]
    if len({rows.shape for rows in found}) > 1:
        raise DataError(
            f"{spoken.path.name}: the layers have {', '.join(str(rows.shape[1]) for rows in found)} features",
            where=f"{spoken.path}, dialogue {dialogue}",
            expected="one size",
        )
    return np.mean(found, axis=0)
