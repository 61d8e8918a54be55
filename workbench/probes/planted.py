"""Does what a model shows agree with what was planted? Views of a model trained on `opinions`, scored against the simulator's evidence.

attended_times(run, data)     where in voice and face does the row of an evidence word look, and where is that word's bump?
modality_use(run, data)       gates, attention received and the score lost without it, modality by modality
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import rankdata

from workbench.data.batch import Dataset, Split
from workbench.errors import DataError
from workbench.model import FusionModel
from workbench.probes.by_class import record_split
from workbench.probes.missing import missing_scores
from workbench.runs import Run
from workbench.taps import taps

TIME = "fusion.alignment.time"
"""Taps of time alignment: a row a step of the reference, a column a step of the modality (MLDFA, Eq. 24)."""

USE = {
    "gate before the views (Eq. 26)": "fusion.gate.mean",
    "gate behind attention (Eq. 18)": "fusion.attention.gate_mean",
    "attention received (Eq. 16)": "fusion.attention.received",
}
"""What a model gives each modality, one number a sample: name for people, and tap."""

LOST = "score lost without it"
"""Headline score with everything there less that with the modality missing (for errors the other way round)."""

COLUMNS = ("sample", "modality", "cue", "true", "estimated", "even", "auc", "auc_others", "looked_at")


def attended_times(source: Run | FusionModel, data: Dataset | Mapping[int, Dataset], *, split: str = "test", tap: str = TIME) -> pd.DataFrame:
    """For each evidence word whose cue voice or face shows too: when its row of the time alignment looks, against when the cue is.

    Times are less the middle of the word. A word's end is the next word's start; the last word is taken to be as long as its sentence's others.

    Args:
        source: a run, or a model, with a reference of words.
        data: `opinions` with its own clock (of a run: by seed where each seed had its own draw).
        split: which split.
        tap: path of the taps: `<tap>.<modality>`, `sample text_time <modality>_time`.

    Returns:
        One row a word and modality: sample, modality, cue; true (middle of the cue's bump) [s], estimated (weighted mean time of the word's row) [s],
        even (the same for a row that looks everywhere alike) [s]; auc (that a frame of the bump has more weight than another; .5 is chance),
        auc_others (the same for the other words' rows, their mean: what is not the word's own doing); looked_at (share of the frames that the row
        looks at, e^entropy / frames; 1: everywhere alike).

    Raises:
        DataError: the data has no evidence, or steps without a clock of their own; the reference is not the text.
        ConfigError: the model has no such tap.
    """
    whole = data if isinstance(data, Dataset) else data[source.seed]
    found = whole[split]
    seen = record_split(source, whole, f"{tap}.*", split=split)
    parts = []
    for name, values in seen.items():
        modality = str(name).rpartition(".")[2]
        _check(values, found, whole, modality, name)
        parts += _rows(values.values, found, modality, whole.spec.modalities[modality].rate)
    return pd.DataFrame(parts, columns=list(COLUMNS))


def _check(values: xr.DataArray, split: Split, data: Dataset, modality: str, tap: object) -> None:
    """The taps and the evidence speak of the same steps.

    Raises:
        DataError: they do not.
    """
    if "word_starts" not in split.evidence or f"{modality}_shared_window" not in split.evidence:
        raise DataError(
            f"{data.name} has no evidence of {modality}'s cues", where=f"split {split.name}", expected="simulated data: load('opinions/...')"
        )
    if not str(values.dims[1]).endswith("text_time"):
        raise DataError(f"the rows of {tap} are {values.dims[1]}", expected="words: text as the reference")
    if not data.spec.modalities[modality].rate or "align_to" in data.notes.get("view", {}):
        raise DataError(f"{modality} has no clock of its own", where=data.name, expected="data as it was recorded: load(...) without align_to")


def _rows(weights: np.ndarray, split: Split, modality: str, rate: float) -> Iterable[tuple]:
    """The rows of one modality (see `attended_times`)."""
    evidence = split.evidence
    lengths, words = split.columns[modality].lengths.numpy(), split.columns["text"].lengths.numpy()
    for cue in ("shared", "unique"):
        place, window, when = (evidence[key] for key in (f"text_{cue}_position", f"{modality}_{cue}_window", f"{modality}_{cue}_time"))
        for sample in np.flatnonzero((place >= 0) & (window[:, 0] >= 0)):
            table = weights[sample, : words[sample], : lengths[sample]]
            row, times = table[place[sample]], np.arange(lengths[sample]) / rate
            if not row.sum() > 0:
                continue  # the sample lacks the modality, or the text
            middle = word_middle(evidence["word_starts"][sample], int(place[sample]))
            inside = (np.arange(len(row)) >= window[sample, 0]) & (np.arange(len(row)) < window[sample, 1])
            every = auc(table, inside)
            others = np.delete(every, place[sample])
            yield (
                split.ids[sample], modality, cue, when[sample] - middle, row @ times / row.sum() - middle, times.mean() - middle,
                every[place[sample]], others.mean() if len(others) else np.nan, looked_at(row),
            )  # fmt: skip


def word_middle(starts: np.ndarray, place: int) -> float:
    """The middle of a word [s], of the words' starts [s] (nan behind the last)."""
    known = starts[np.isfinite(starts)]
    usual = float(np.diff(known).mean()) if len(known) > 1 else 0.0
    end = known[place + 1] if place + 1 < len(known) else known[place] + usual
    return float(known[place] + end) / 2


def auc(rows: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Of each row: the probability that a marked place has more weight than an unmarked one, ties half (Mann-Whitney); nan without both kinds."""
    marked, others = int(inside.sum()), int((~inside).sum())
    if not marked or not others:
        return np.full(len(rows), np.nan)
    ranks = rankdata(rows, axis=1)
    return (ranks[:, inside].sum(1) - marked * (marked + 1) / 2) / (marked * others)


def looked_at(row: np.ndarray) -> float:
    """The share of its places that a row of weights looks at: e^entropy over their number; 1 where it looks everywhere alike."""
    shares = row[row > 0] / row.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()) / len(row))


def modality_use(source: Run, data: Dataset | Mapping[int, Dataset], *, split: str = "test") -> pd.DataFrame:
    """What a run gives each modality, mean over the samples, and what it loses without it.

    Args:
        source: a finished run.
        data: its data.
        split: which split.

    Returns:
        One row a number: variant, seed, quantity (see `USE`, `LOST`; those that the model has), modality, value.
    """
    known = taps(source.model())
    there = {name: tap for name, tap in USE.items() if tap in known}
    rows = []
    if there:
        seen = record_split(source, data, *there.values(), split=split)
        for quantity, tap in there.items():
            means = seen[tap].mean("sample").to_series()
            rows += [(source.variant, source.seed, quantity, str(name), float(value)) for name, value in means.items()]
    scores = missing_scores(source, data, split=split)
    scores = scores[(scores["metric"] == source.config["headline"]) & scores["treatment"].isin(("present", "zeros"))].set_index("modality")["value"]
    sign = -1.0 if _is_error(source.config["headline"]) else 1.0
    rows += [(source.variant, source.seed, LOST, name, sign * (scores["none"] - scores[name])) for name in scores.index if name != "none"]
    return pd.DataFrame(rows, columns=["variant", "seed", "quantity", "modality", "value"])


def _is_error(metric: str) -> bool:
    from workbench.tasks import LOWER_IS_BETTER

    return metric in LOWER_IS_BETTER
