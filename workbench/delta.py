"""The questions of `07_delta_attention`: does attending to change make a model blind to who is speaking?

trained = over_dial("idiosyncrasy", [0.0, 1.0, 2.0], readings(), seeds=5)
figures.scores_over_dial(dial_scores(trained), dial="idiosyncrasy", pair=CLAIM)

What the claim can be about. A speaker's offset in `opinions` is one constant on each channel of a recording. The relative term of Eq. (11) is made
of differences and does not see it. Queries, keys and values are not: an offset moves the logits through the content, and every value by the same
vector, so that the output moves by that vector whatever the weights are (they add up to 1). Delta attention is not blind to an offset: its relative
term alone is. How much the offset in the output weighs depends on how much else is there: attention that lies on a cue's moment reads 3 a level
beside .16 a unit of the dial; attention that is nearly even reads a mean over time, to which a level adds no more than a unit of the dial does. Two
controls make the curves readable: a model that takes means over time, which the dial must hurt, and both attentions on steps whose own mean was
taken off (`is_centred`), which no constant offset can reach.

Speakers of test are in no other split, and offsets say nothing about the label, so there is no short cut to unlearn: an offset is noise that train
has few draws of (one a speaker). Samples of one speaker share it: intervals are over seeds, each with speakers of its own, never over samples.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench import methods
from workbench.errors import unknown
from workbench.experiments import Results
from workbench.probes.correlations import whole_correlations
from workbench.probes.delta_maps import moved_weights
from workbench.runs import Run
from workbench.statistics import paired_difference, say_difference
from workbench.studies import any_draw, titles
from workbench.tasks import LOWER_IS_BETTER
from workbench.taxonomy import Data, over_dial, trained

METHOD, RIVAL, MEANS = "delta_attention", "mult", "lf_dnn"

DELTA, PLAIN, ALONE = "delta", "plain", "delta alone"
"""Eq. (11) as it is printed; without the relative term; without the content."""

READINGS: dict[str, dict[str, Any]] = {
    DELTA: {},
    PLAIN: {"positions": "none"},
    ALONE: {"has_content": False},
    "delta, centred": {"is_centred": True},
    "plain, centred": {"positions": "none", "is_centred": True},
}
"""Ways to attend, as settings of the method; the centred ones are not the paper's."""

CONTROL = "means over time"
"""The variant that a constant offset must hurt; `means over time, vision` is the same with one modality."""

CLAIM = (DELTA, PLAIN)
"""What the paper's claim compares."""

COMMON = "total canonical correlation above chance"
"""What `common_over_dial` measures."""


def suited(config: Mapping[str, Any] | None = None, plan: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A variant of the method with the settings that suit `opinions` (its preset's, where it has one): Config, and the plan but for its epochs.

    Args:
        config, plan: values instead of the preset's.
    """
    preset = methods.method(METHOD).PRESETS.get("opinions")
    own = {key: value for key, value in (preset.plan if preset else {}).items() if key not in ("epochs", "patience")}
    return {"method": METHOD, "config": {**(preset.config if preset else {}), **(config or {})}, "plan": {**own, **(plan or {})}}


def readings(
    names: Sequence[str] = tuple(READINGS), *, config: Mapping[str, Any] | None = None, plan: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Variants of the method by what it attends with (`READINGS`), and the control where its name is given.

    Args:
        names: of `READINGS`, or `CONTROL` (with all modalities, or with one: `means over time, vision`).
        config, plan: settings that all readings share, not the control.

    Raises:
        ConfigError: an unknown name.
    """
    found = {}
    for name in names:
        if name.partition(", ")[0] == CONTROL:
            alone = name.partition(", ")[2]
            found[name] = {"method": MEANS} | ({"modalities": [alone]} if alone else {})
        elif name in READINGS:
            found[name] = suited({**(config or {}), **READINGS[name]}, plan)
        else:
            raise unknown("way to attend", name, (*READINGS, CONTROL))
    return found


def dial_scores(
    trainings: Mapping[float, tuple[Results, Data]], *, modality: str = "", metric: str | None = None, split: str = "test"
) -> pd.DataFrame:
    """Scores of `workbench.taxonomy.over_dial` as `figures.scores_over_dial` takes them: variant, x, seed, metric (its title), value.

    Args:
        modality: the scores of this modality's own stage (and of the control that sees it alone) instead of the whole's: text and other voices do not
            cover there what the dial does.
        metric: which one; None: the headline.
    """
    rows = []
    for x, (results, _) in trainings.items():
        name = metric or results.headline
        for run in results.runs:
            found = (
                _alone(run, modality, split) if modality else None if run.variant.startswith(f"{CONTROL}, ") else (run.variant, run.metrics[split])
            )
            if found is not None:
                rows.append((found[0], float(x), run.seed, titles([name])[0], found[1][name]))
    return pd.DataFrame(rows, columns=["variant", "x", "seed", "metric", "value"])


def _alone(run: Run, modality: str, split: str) -> tuple[str, Mapping[str, float]] | None:
    """Name and scores of what a run says of one modality alone; None where it says nothing of it."""
    if run.variant == f"{CONTROL}, {modality}":
        return CONTROL, run.metrics[split]
    stage = run.metrics.get("stages", {}).get(f"unimodal.{modality}")
    return None if stage is None else (run.variant, stage[split])


def ceiling_over(trainings: Mapping[float, tuple[Results, Data]], metric: str, *, subset: str = "all") -> float | None:
    """The ceiling of all modalities together (or of one) where it is known, and the same at every value of the dial."""
    found = {round(any_draw(data).ceiling.get(subset, {}).get(metric, np.nan), 6) for _, data in trainings.values()}
    return found.pop() if len(found) == 1 and not np.isnan(next(iter(found))) else None


def say_dial_works(scores: pd.DataFrame) -> str:
    """One sentence: does the dial hurt the control (`CONTROL`) from its lowest value to its highest? If not, nobody can be found immune.

    Args:
        scores: see `dial_scores`.
    """
    table = scores[scores["variant"] == CONTROL].pivot_table(index="seed", columns="x", values="value")
    if table.shape[1] < 2:
        return f"{CONTROL} was not trained at two values of the dial: whether the dial works is not known."
    both = table[[table.columns.min(), table.columns.max()]].dropna().to_numpy()
    change = paired_difference(both[:, 1], both[:, 0])
    worse = change.mean > 0 if is_error(scores["metric"].iloc[0]) else change.mean < 0
    verdict = "The dial works" if change.is_found and worse else "The dial is not found to work"
    return f"{verdict}: {CONTROL} from {table.columns.min():g} to {table.columns.max():g}, {say_difference(change)}."


def is_error(title: str) -> bool:
    """Whether less of a metric is better, by its name or title."""
    return title.lower() in LOWER_IS_BETTER


def over_windows(data: Data, windows: Sequence[int], *, config: Mapping[str, Any] | None = None, **settings: Any) -> Results:
    """The method with several windows of its attention (steps to either side); 0 is the whole sequence. A variant is called by its number."""
    return trained(data, {str(window): suited({**(config or {}), "window": window or None}) for window in windows}, **settings)


def window_scores(results: Results, *, split: str = "valid", metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Scores of `over_windows` as `figures.sweep_lines` takes them: trial, window (a number, or `all`), seed, split, metric (its title), value."""
    frame = results.scores(split, metrics=metrics)
    number = frame["variant"].astype(int)
    named = frame["metric"].map(lambda name: titles([name])[0])
    window = number.map(lambda steps: str(steps) if steps else "all")
    return frame.assign(trial=number, window=window, metric=named)[["trial", "window", "seed", "split", "metric", "value"]]


def in_seconds(window: int, data: Data) -> str:
    """A window of so many steps in time: `audio 0.25 s, vision 0.33 s, text 5 words` (to either side); empty for the whole sequence."""
    if not window:
        return ""
    said = []
    for name, spec in any_draw(data).spec.modalities.items():
        unit = "words" if spec.kind == "tokens" else "steps"
        said.append(f"{name} {window / spec.rate:.2f} s" if spec.rate else f"{name} {window} {unit}")
    return ", ".join(said)


ALIGNED, UNALIGNED = "aligned", "unaligned"


def aligned_or_not(
    lags: Sequence[float],
    *,
    config: Mapping[str, Any] | None = None,
    align_to: str = "text",
    options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> dict[str, dict[float, tuple[Results, Data]]]:
    """The method on the same samples as they were recorded and averaged over the words, while voice and face come later and later.

    Args:
        lags: values of the dial `lag` [s].
        config: of the method.
        align_to: the modality whose steps the others are averaged over.
        options: other dials.
        settings: seeds, dataset, plan, runs (see `workbench.taxonomy.over_dial`).

    Returns:
        `unaligned` and `aligned` to their trainings.
    """
    views = {UNALIGNED: {}, ALIGNED: {"align_to": align_to}}
    return {name: over_dial("lag", lags, {name: suited(config)}, options={**(options or {}), **view}, **settings) for name, view in views.items()}


def together(trainings: Mapping[str, Mapping[float, tuple[Results, Data]]], **chosen: Any) -> pd.DataFrame:
    """Several sets of trainings as one table (see `dial_scores`)."""
    return pd.concat([dial_scores(found, **chosen) for found in trainings.values()], ignore_index=True)


def common_over_dial(trainings: Mapping[float, tuple[Results, Data]]) -> pd.DataFrame:
    """What each pair of modalities has in common by the kept weights, less what chance gives, over a dial.

    Returns:
        One row a number, as `figures.scores_over_dial` takes it: variant (the pair), x, seed, metric (`COMMON`), value (all steps of valid at once:
        `workbench.probes.correlations.whole_correlations`).
    """
    parts = []
    for x, (results, data) in trainings.items():
        found = whole_correlations(results.runs, data)
        above = {"value": found["value"] - found["floor"], "variant": found["pair"].str.replace(" x ", " and ")}
        parts.append(found.assign(**above, x=float(x), metric=COMMON))
    return pd.concat(parts, ignore_index=True)[["variant", "x", "seed", "metric", "value"]]


def moved(runs: Sequence[Run], data: Data, *, split: str = "test") -> pd.DataFrame:
    """What the delta moves in several runs: the rows of `workbench.probes.delta_maps.moved_weights`, and the runs' seeds."""
    return pd.concat([moved_weights(run, data, split=split).assign(seed=run.seed) for run in runs], ignore_index=True)
