"""Where the real steps of a sample end in MMSA's pickles: by what the file says first, by zeros last.

    text            its attention mask, because the features of BERT's padding tokens are not zero; or its own zeros, where they begin earlier
    audio, vision   their stated lengths; in an aligned file the length of the text; else their zeros

Stated lengths count from the first step, on one side for all splits: zeros at the start of a clip are silence. Only where the values of most clips
stand at the end (`stated_steps`) do they count from the last. Whatever lengths and zeros tell differently is noted, never silently mended.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from workbench.data.batch import Column
from workbench.data.padding import Padding, Side, detect, pieces
from workbench.data.reading.pickled import Part, targets


@dataclass(frozen=True)
class Tokens:
    """The ids of BERT's tokens.

    Args:
        ids: `samples time` (int64).
        lengths: real tokens of each sample, by the attention mask (int64).
    """

    ids: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class Stated:
    """What a file states of one modality in one split.

    Args:
        lengths: real steps of each sample (int64).
        padding: on which side all splits of the file are padded, and the steps of each sample up to its zeros on that side.
    """

    lengths: np.ndarray
    padding: Padding


def read_tokens(part: Part, samples: int) -> Tokens:
    """The tokens of `text_bert` (`samples 3 time`, floats or integers: ids, attention mask, segments)."""
    expected = "numbers, samples x 3 x time: ids, mask, segments"
    values = part.array("text_bert", samples=samples, expected=expected)
    if values.ndim != 3 or values.shape[1] != 3:
        raise part.error(f"text_bert has the shape {list(values.shape)}", "text_bert", expected=expected)
    with np.errstate(invalid="ignore"):  # nan is no id: refused below.
        ids, mask = values[:, 0].astype(np.int64), values[:, 1] != 0
    wrong = np.flatnonzero(((values[:, 0] != ids) | (ids < 0)).any(1))
    if len(wrong):
        raise part.error("text_bert has an id that is no whole number of 0 or more", "text_bert", row=int(wrong[0]), expected="token ids in row 0")
    lengths = np.where(mask.any(1), mask.shape[1] - mask[:, ::-1].argmax(1), 0).astype(np.int64)
    part.count("text_bert: attention masks with gaps, read up to their last 1", mask.sum(1) != lengths)
    part.count("text_bert: attention masks without a 1: one token is kept", lengths == 0)
    return Tokens(ids, np.maximum(1, lengths))


def stated_steps(found: Mapping[str, Part], names: Iterable[str], *, labels: str) -> dict[str, dict[str, Stated]]:
    """For each split, the modalities whose lengths the file states.

    They count from the first step, unless fewer samples have values before their last `length` steps than behind their first ones, over all splits.

    Args:
        found: the splits.
        names: modalities that may have lengths.
        labels: the key that says how many samples a split has.
    """
    made: dict[str, dict[str, Stated]] = {split: {} for split in found}
    for name in names:
        lengths, zeros, outside = {}, {}, {"start": 0, "end": 0}
        for split, part in found.items():
            if f"{name}_lengths" not in part.values:
                continue
            padded = part.features(name, samples=len(targets(part, labels)))
            steps, lengths[split], zeros[split] = padded.shape[1], _stated(part, name, padded), _zeros(padded)
            for side, edge in zeros[split].items():
                # Zero throughout: nothing stands outside of any length.
                outside[side] += int(((steps - edge > lengths[split]) & (edge < steps)).sum())
        side: Side = "start" if outside["start"] < outside["end"] else "end"
        for split, own in lengths.items():
            edge, steps = zeros[split][side], found[split].features(name, samples=len(own)).shape[1]
            made[split][name] = Stated(own, Padding(side if edge.any() else "none", np.maximum(1, steps - edge)))
            _say_outside(found[split], name, made[split][name], side)
    return made


def real_steps(part: Part, padded: Mapping[str, np.ndarray], tokens: Tokens | None, stated: Mapping[str, Stated] | None = None) -> dict[str, Column]:
    """The real steps of each modality.

    Args:
        part: the split; what is found is noted there.
        padded: modality to `samples time feature`.
        tokens: of `text_bert`, where the file has it.
        stated: what `stated_steps` found for the split.
    """
    stated = stated or {}
    found = {name: stated[name].padding if name in stated else detect(values) for name, values in padded.items()}
    for name, padding in found.items():
        part.say_padding(name, padding)
    sentence = _sentence(part, padded, found, tokens)
    is_aligned = _is_aligned(padded, tokens)
    columns = {}
    for name, values in padded.items():
        side: Side = "start" if found[name].side == "start" else "end"
        lengths = found[name].lengths
        if name in stated:
            lengths = stated[name].lengths
        elif is_aligned:
            lengths, side = _common(part, name, found, sentence)
        elif name == "text" and sentence is not None:
            lengths = sentence
        columns[name] = part.column(name, values, lengths, side)
    return columns


def _is_aligned(padded: Mapping[str, np.ndarray], tokens: Tokens | None) -> bool:
    """True where all modalities have the steps of the text."""
    steps = {values.shape[1] for values in padded.values()}
    if "text" not in padded and tokens is not None:
        steps.add(tokens.ids.shape[1])
    return len(steps) == 1 and ("text" in padded or tokens is not None)


def _sentence(part: Part, padded: Mapping[str, np.ndarray], found: Mapping[str, Padding], tokens: Tokens | None) -> np.ndarray | None:
    """Real steps of the text: to the end of its attention mask, or of what is not zero, whichever comes first; None without a mask that fits."""
    if tokens is None or "text" not in padded:
        return None if tokens is None else tokens.lengths
    zeros = found["text"]
    if zeros.side == "start" or tokens.ids.shape[1] != padded["text"].shape[1]:
        part.findings.add("text: its features do not stand as the attention mask of text_bert says: their zeros decide", part.name)
        return None
    part.count("text: samples with features behind the attention mask, those of padding tokens: cut off", zeros.lengths > tokens.lengths)
    part.count("text: samples that are zero before their attention mask ends: zeros cut off", zeros.lengths < tokens.lengths)
    return np.minimum(zeros.lengths, tokens.lengths)


def _common(part: Part, name: str, found: Mapping[str, Padding], sentence: np.ndarray | None) -> tuple[np.ndarray, Side]:
    """One length for all modalities, which keeps their steps aligned, and the padded side.

    Zeros inside the sentence are real: silence, or a face that was not found.
    """
    side: Side = "start" if "text" in found and found["text"].side == "start" else "end"
    if sentence is None:
        return np.max([padding.lengths for padding in found.values()], axis=0), side
    if name != "text":
        part.count(f"{name}: samples with values behind the last token: cut off", found[name].lengths > sentence)
    return sentence, side


def _zeros(padded: np.ndarray) -> dict[str, np.ndarray]:
    """Zero steps before the first and behind the last step that is not zero (`samples`, int64); all of them in a sample that is zero throughout."""
    zeros = {side: np.zeros(len(padded), np.int64) for side in ("start", "end")}
    for rows, piece in pieces(padded):
        is_real = (piece != 0).reshape(len(piece), padded.shape[1], -1).any(2)
        is_empty = ~is_real.any(1)
        for side, steps in (("start", is_real), ("end", is_real[:, ::-1])):
            zeros[side][rows] = np.where(is_empty, padded.shape[1], steps.argmax(1))
    return zeros


def _stated(part: Part, name: str, padded: np.ndarray) -> np.ndarray:
    """The lengths that the file states, checked (int64)."""
    key, steps = f"{name}_lengths", padded.shape[1]
    given = part.array(key, samples=len(padded), expected="one whole number a sample").reshape(len(padded), -1)
    if given.shape[1] != 1:
        raise part.error(f"{key} has {given.shape[1]} numbers a sample", key, expected="one whole number a sample")
    with np.errstate(invalid="ignore"):  # nan is no length: refused below.
        lengths = given[:, 0].astype(np.int64)
    wrong = np.flatnonzero((given[:, 0] != lengths) | (lengths < 0) | (lengths > steps))
    if len(wrong):
        raise part.error(f"the length of {name} is {given[wrong[0], 0]}", key, row=int(wrong[0]), expected=f"a whole number, 1 to {steps}")
    part.count(f"{name}: the stated length is 0: one step is kept", lengths == 0)
    return np.maximum(1, lengths)


def _say_outside(part: Part, name: str, stated: Stated, side: Side) -> None:
    """Notes where the zeros of a modality tell other lengths than the stated ones, which stay."""
    where, verb = ("before", "begin") if side == "start" else ("behind", "end")
    part.count(f"{name}: samples with values {where} the stated length: cut off", stated.padding.lengths > stated.lengths)
    inside = "behind the start of" if side == "start" else "before"
    part.count(f"{name}: samples that {verb} in zeros {inside} the stated length: kept", stated.padding.lengths < stated.lengths)
