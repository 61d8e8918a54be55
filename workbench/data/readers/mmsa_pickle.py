"""MMSA's pickles (MOSI, MOSEI, CH-SIMS, CH-SIMS v2): a dict of train, valid and test, padded behind the real steps.

What a split has: `text` (BERT features), `text_bert` (token ids, attention mask, segments), `audio`, `vision`, `audio_lengths` and `vision_lengths`
(unaligned files), `regression_labels` and, for each modality alone, `regression_labels_T`, `_A`, `_V`; `raw_text`; `id` as `video$_$clip`.
Which steps are real: `workbench.data.reading.mmsa_lengths`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from workbench.data.arrays import modality_spec, token_column, vocabulary
from workbench.data.batch import Dataset, ModalitySpec, Spec, Split
from workbench.data.card import DataCard
from workbench.data.padding import ragged
from workbench.data.reading.advice import advised
from workbench.data.reading.mmsa_lengths import Stated, read_tokens, real_steps, stated_steps
from workbench.data.reading.pickled import Findings, Part, check_ids, note_ignored, parts, targets
from workbench.data.untrusted.pickles import load_pickle
from workbench.errors import DataError, unknown

FEATURES = ("text", "audio", "vision")
LABELS = "regression_labels"
TEXTS = ("features", "ids", "words")
UNIMODAL = {"text": "regression_labels_T", "audio": "regression_labels_A", "vision": "regression_labels_V"}
KNOWN = {*FEATURES, *UNIMODAL.values(), "text_bert", "audio_lengths", "vision_lengths", LABELS, "raw_text", "id"}
SIGNS = {"annotations", "classification_labels"}
"""Keys that every file has and nothing reads: both are the sign of the label."""

FIRST_TOKEN = 101
"""The id of [CLS] in BERT's English and Chinese vocabularies."""
BERT_WORDS = {"bert-base-uncased": 30522, "bert-base-chinese": 21128, "minilm": 30522}
"""Words of the models that the ids may be of; the packaged `minilm` has the vocabulary of bert-base-uncased."""


@advised
def read(card: DataCard, root: Path, *, variant: str = "", text: str = "features", text_model: str = "") -> Dataset:
    """The card's modalities out of text, audio and vision.

    Args:
        card: says which file, which modalities, which splits.
        root: the data root.
        variant: `aligned` or `unaligned`, where the card has them.
        text: `features` as they stand in the file; `ids`, the token ids of `text_bert`, to fine-tune a pretrained model; or `words`, the words of
            `raw_text` by the training vocabulary (Chinese: characters).
        text_model: with `ids`, the model that the ids belong to. Empty: bert-base-chinese where the sentences have Chinese characters, else
            bert-base-uncased. `minilm` (packaged, needs no network) has the vocabulary of bert-base-uncased, so English ids fit it too.
            `none`: no pretrained model, an embedding is learned.

    Raises:
        DataError: the file is not as described; which split, key and row, and what was expected.
        ConfigError: an unknown form of text.
    """
    if text not in TEXTS:
        raise unknown("form of text", text, TEXTS)
    _check_card(card)
    path, findings = card.file(root, variant=variant), Findings()
    found = parts(load_pickle(path), list(card.splits), path, findings)
    stated = stated_steps(found, [name for name in card.modalities if name != "text"], labels=LABELS)
    splits = {name: _split(card, part, stated[name], text=text) for name, part in found.items()}
    check_ids(path, splits)
    specs = {}
    for name, modality in card.modalities.items():
        if name == "text" and text == "words":
            splits, specs[name] = _with_words(card, splits, findings)
        elif name == "text" and text == "ids":
            specs[name] = _ids_spec(path, splits, text_model, findings)
        else:
            specs[name] = modality_spec("sequence", (split.columns[name] for split in splits.values()), rate=modality.rate)
    return Dataset(card.name, Spec(specs, card.task.spec()), splits, notes={"reading": findings.sentences(splits)})


def _check_card(card: DataCard) -> None:
    strange = [name for name in card.modalities if name not in FEATURES]
    if strange:
        place = card.place("modalities", strange[0])
        raise DataError(f"{card.name}: these files have no modality {strange[0]}", where=place, expected=", ".join(FEATURES))
    if card.task.kind != "regression":
        raise DataError(f"{card.name}: these files have no {card.task.kind} labels", where=card.place("task"), expected="kind: regression")


def _split(card: DataCard, part: Part, stated: Mapping[str, Stated], *, text: str) -> Split:
    """One split; with `words` its text is still missing: it needs the vocabulary of train."""
    note_ignored((key for key in part.values if key not in KNOWN | SIGNS), part.findings, part.name)
    target = targets(part, LABELS)
    samples = len(target)
    tokens = read_tokens(part, samples) if "text_bert" in part.values or (text == "ids" and "text" in card.modalities) else None
    names = [name for name in card.modalities if name != "text" or text == "features"]
    columns = real_steps(part, {name: part.features(name, samples=samples) for name in names}, tokens, stated)
    if text == "ids" and "text" in card.modalities and tokens is not None:
        columns["text"], _ = ragged(tokens.ids, tokens.lengths, side="end", dtype=np.int64)
    ids, groups = _names(part, samples)
    alone = {name: key for name, key in UNIMODAL.items() if key in part.values and name in card.modalities}
    return Split(
        part.name,
        {name: columns[name] for name in card.modalities if name in columns},
        torch.from_numpy(target),
        ids,
        groups,
        part.sentences("raw_text", samples=samples) if "raw_text" in part.values or text == "words" else None,
        {name: torch.from_numpy(targets(part, key, samples=samples)) for name, key in alone.items()},
    )


def _names(part: Part, samples: int) -> tuple[list[str], list[str] | None]:
    """The ids, and the videos that they name."""
    if "id" not in part.values:
        part.findings.add("no ids: samples are numbered, and their videos are unknown", part.name)
        return [f"{part.name}_{row}" for row in range(samples)], None
    ids = part.sentences("id", samples=samples)
    if not all("$_$" in name for name in ids):
        part.findings.add("ids are not video$_$clip: the videos are unknown", part.name)
        return ids, None
    return ids, [name.partition("$_$")[0] for name in ids]


def _with_words(card: DataCard, splits: dict[str, Split], findings: Findings) -> tuple[dict[str, Split], ModalitySpec]:
    """The splits with the words of their sentences as text; Chinese, which has no spaces, by characters."""
    sentences = {name: split.texts or [] for name, split in splits.items()}
    if is_chinese(sentences["train"]):
        findings.add("text: Chinese sentences are cut into characters")
        sentences = {name: [" ".join("".join(sentence.split())) for sentence in texts] for name, texts in sentences.items()}
    known = vocabulary(sentences["train"])
    columns = {name: token_column(texts, known) for name, texts in sentences.items()}
    made = {}
    for name, split in splits.items():
        every = {**split.columns, "text": columns[name]}
        made[name] = replace(split, columns={key: every[key] for key in card.modalities})
    return made, modality_spec("tokens", columns.values(), vocabulary=known)


def _ids_spec(path: Path, splits: dict[str, Split], text_model: str, findings: Findings) -> ModalitySpec:
    """What the token ids are of: the model, and its number of words where that is known, else the largest id and one."""
    columns = [split.columns["text"] for split in splits.values()]
    longest, largest = max(int(column.lengths.max()) for column in columns), max(int(column.values.max()) for column in columns)
    model = text_model or ("bert-base-chinese" if is_chinese(splits["train"].texts or []) else "bert-base-uncased")
    if not text_model and any(bool((column.values[column.offsets[:-1]] != FIRST_TOKEN).any()) for column in columns):
        findings.add(f"text: the ids do not begin with BERT's first token, {FIRST_TOKEN}, so no pretrained model is named (text_model= names one)")
        model = "none"
    size = BERT_WORDS.get(model, largest + 1)
    if largest >= size:
        raise DataError(
            f"{path.name}: the token id {largest} is none of {model}",
            where=f"{path}, key text_bert",
            expected=f"0 to {size - 1}",
            do="name the model that the ids are of with text_model=, or text_model=none",
        )
    return ModalitySpec("tokens", size, longest, text_model=None if model == "none" else model)


def is_chinese(sentences: Sequence[str]) -> bool:
    """True where a sentence has a Chinese character."""
    return any("\u4e00" <= letter <= "\u9fff" for sentence in sentences for letter in sentence)
