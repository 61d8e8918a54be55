"""The questions of `07_delta_attention`: does attending to change make a model blind to who is speaking, and what does each stage of it add?

trained = over_dial("idiosyncrasy", [0.0, 1.0, 2.0], READINGS, seeds=5)
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

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from workbench import methods
from workbench.data import is_simulated
from workbench.data.card import card, cards
from workbench.errors import ConfigError
from workbench.evidence import turned
from workbench.experiments import Results
from workbench.probes.correlations import correlations_by_epoch
from workbench.probes.cost import costs, step, step_bytes
from workbench.probes.delta_maps import moved_weights
from workbench.probes.ladder import BLOCKS, stage_scores
from workbench.runs import Run
from workbench.statistics import mean_and_spread, paired_difference, say_difference, score
from workbench.studies import any_draw, draws, titles
from workbench.tasks import LOWER_IS_BETTER, label_key, make_task, metrics_of
from workbench.taxonomy import Data, trained
from workbench.training import learners

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

PRINTED = "mosei_emotions_csd"
"""The data card with the rows of the paper's Table 2."""

OVERALL = ("accuracy_top", "f1_weighted")
"""The metrics that stand in for the columns Acc6 and F1 of Table 2, which the paper does not define."""

COMMON = "total canonical correlation"
"""What `common_over_dial` measures."""

BATCH = 32
"""Samples of a training step that is timed."""

ROWS = {
    "hda/text": ("unimodal", "text"),
    "hda/vision": ("unimodal", "vision"),
    "hda/audio": ("unimodal", "audio"),
    "hda/dcca/aligned": ("correlation", "aligned"),
    "hda/dcca": ("correlation", "unaligned"),
    "hda/aligned": ("fusion", "aligned"),
    "hda": ("fusion", "unaligned"),
}
"""Rows of Table 2 on the card: stage, and what tells the row apart there."""


def suited(config: Mapping[str, Any] | None = None, plan: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A variant of the method with the settings that suit `opinions` (its preset's, where it has one): Config, and the plan but for its epochs.

    Args:
        config, plan: values instead of the preset's.
    """
    preset = methods.method(METHOD).PRESETS.get("opinions")
    own = {key: value for key, value in (preset.plan if preset else {}).items() if key not in ("epochs", "patience")}
    return {"method": METHOD, "config": {**(preset.config if preset else {}), **(config or {})}, "plan": {**own, **(plan or {})}}


def readings(names: Sequence[str] = tuple(READINGS), *, config: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    """Variants of the method by what it attends with (`READINGS`), and the control where its name is given.

    Args:
        names: of `READINGS`, or `CONTROL` (with all modalities, or with one: `means over time, vision`).
        config: settings that all readings share.

    Raises:
        ConfigError: an unknown name.
    """
    from workbench.errors import unknown

    found = {}
    for name in names:
        if name.partition(", ")[0] == CONTROL:
            alone = name.partition(", ")[2]
            found[name] = {"method": MEANS} | ({"modalities": [alone]} if alone else {})
        elif name in READINGS:
            found[name] = suited({**(config or {}), **READINGS[name]})
        else:
            raise unknown("way to attend", name, (*READINGS, CONTROL))
    return found


def over_dial(
    dial: str, values: Sequence[float], variants: Mapping[str, Mapping[str, Any]], *, seeds: int | Sequence[int] = 3,
    dataset: str = "opinions/balanced", options: Mapping[str, Any] | None = None, **settings: Any,
) -> dict[float, tuple[Results, Data]]:  # fmt: skip
    """Variants trained on `opinions` with one dial at several values; the same seed is the same draw but for the dial.

    Args:
        dial: its name; of a dial by modality `informativeness.vision`.
        values: of the dial.
        variants: name to method and settings (see `readings`).
        seeds: how many, or which.
        dataset: a preset of `opinions`.
        options: other dials, and views (`align_to`).
        settings: plan, runs (see `workbench.taxonomy.trained`).

    Raises:
        ConfigError: the data set is not simulated.
    """
    if not is_simulated(dataset):
        raise ConfigError(f"{dataset} has no dials to turn", expected="opinions, simulated data of which everything is known")
    found = {}
    for value in values:
        data = draws(dataset, seeds, **{**(options or {}), **turned(dial, value)})
        found[value] = trained(data, variants, seeds=seeds, **settings), data
    return found


def dial_scores(
    trainings: Mapping[float, tuple[Results, Data]], *, modality: str = "", metric: str | None = None, split: str = "test"
) -> pd.DataFrame:
    """Scores of `over_dial` as `figures.scores_over_dial` takes them: variant, x, seed, metric (its title), value.

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
        settings: seeds, dataset, plan, runs (see `over_dial`).

    Returns:
        `unaligned` and `aligned` to their trainings.
    """
    views = {UNALIGNED: {}, ALIGNED: {"align_to": align_to}}
    return {name: over_dial("lag", lags, {name: suited(config)}, options={**(options or {}), **view}, **settings) for name, view in views.items()}


def together(trainings: Mapping[str, Mapping[float, tuple[Results, Data]]], **chosen: Any) -> pd.DataFrame:
    """Several sets of trainings as one table (see `dial_scores`)."""
    return pd.concat([dial_scores(found, **chosen) for found in trainings.values()], ignore_index=True)


def common_over_dial(trainings: Mapping[float, tuple[Results, Data]]) -> pd.DataFrame:
    """What each pair of modalities has in common at the end of its stage, over a dial.

    Returns:
        One row a number, as `figures.scores_over_dial` takes it: variant (the pair), x, seed, metric (`COMMON`), value (last epoch, on valid).
    """
    parts = []
    for x, (results, _) in trainings.items():
        found = correlations_by_epoch(results.runs)
        last = found[found["epoch"] == found.groupby("seed")["epoch"].transform("max")]
        parts.append(last.assign(variant=last["pair"].str.replace(" x ", " and "), x=float(x), metric=COMMON))
    return pd.concat(parts, ignore_index=True)[["variant", "x", "seed", "metric", "value"]]


def moved(runs: Sequence[Run], data: Data, *, split: str = "test") -> pd.DataFrame:
    """What the delta moves in several runs: the rows of `workbench.probes.delta_maps.moved_weights`, and the runs' seeds."""
    return pd.concat([moved_weights(run, data, split=split).assign(seed=run.seed) for run in runs], ignore_index=True)


def alone_trained(data: Data, *, config: Mapping[str, Any] | None = None, **settings: Any) -> Results:
    """The method and no other (see `workbench.taxonomy.trained`)."""
    return trained(data, {METHOD: suited(config)}, **settings)


def table_metrics(data: Data) -> list[str]:
    """The metrics that a task has for a table in the form of Table 2: overall ones, the error, each label's F1; all metrics of other tasks."""
    task = any_draw(data).spec.task
    known = metrics_of(task)
    singles = [f"f1_{label_key(name)}" for name in task.classes]
    return [name for name in (*OVERALL, "mae", *singles) if name in known] if task.kind == "multilabel" else known


def rungs(results: Mapping[str, Results], *, split: str = "test", metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Scores of the stages of several kinds of data: `workbench.probes.ladder.stage_scores`, the variant being the kind's name."""
    parts = [stage_scores(found.runs, split=split, metrics=metrics).assign(variant=name) for name, found in results.items()]
    return pd.concat(parts, ignore_index=True)


def rung_ceilings(data: Data, metric: str) -> dict[str, float]:
    """The best attainable score of each modality and of all together, where it is known (as `figures.score_ladder` takes it)."""
    found = any_draw(data)
    return {name: values[metric] for name, values in found.ceiling.items() if name in (*found.modalities, "all") and metric in values}


def printed_rows(dataset: str = PRINTED) -> pd.DataFrame:
    """The paper's Table 2 by stage, as the card has it: block, row (modality, aligned or unaligned), metric, value, source.

    The source is `comparable`, or what is not as here.

    Args:
        dataset: the data set that rows are to stand beside; of another one than the paper's they are not comparable, and say so.
    """
    known = card(PRINTED)
    name, _, preset = dataset.partition("/")
    loaded = known.variant(preset) if name == PRINTED and known.variants else ""
    rows = []
    for row in known.published:
        if row.method not in ROWS:
            continue
        stage, where = ROWS[row.method]
        # What a row of each kind of alignment stands beside has that alignment: it is no difference then.
        others = [what for what in row.differs_from(loaded) if what != "alignment"] if name == PRINTED else ["other data"]
        source = f"other {', '.join(others)}" if others and others != ["other data"] else others[0] if others else "comparable"
        rows += [(BLOCKS[stage], where, metric, value, source) for metric, value in row.scores.items()]
    return pd.DataFrame(rows, columns=["block", "row", "metric", "value", "source"])


def printed_table(metrics: Sequence[str]) -> pd.DataFrame:
    """Table 2 as words, for the reader: a row a stage and input, a column a metric, and what is not as in the data card."""
    rows = printed_rows()
    rows = rows[rows["metric"].isin(metrics)]
    said = []
    for (block, where), found in rows.groupby(["block", "row"], sort=False):
        values = found.set_index("metric")["value"]
        differs = dict.fromkeys(word for source in found["source"] for word in source.removeprefix("other ").split(", "))
        said.append({"block": block, "input": where} | {titles([name])[0]: score(values[name]) if name in values else "-" for name in metrics})
        said[-1]["not as here"] = ", ".join(differs)
    return pd.DataFrame(said)


def is_printed(dataset: str) -> bool:
    """Whether the paper's rows are of this data set."""
    return dataset.partition("/")[0] == PRINTED and PRINTED in cards()


def beside_rival(data: Data, *, config: Mapping[str, Any] | None = None, rival_config: Mapping[str, Any] | None = None, **settings: Any) -> Results:
    """The method and MulT, one plan, each at the settings given (see `workbench.taxonomy.trained`)."""
    return trained(data, {METHOD: suited(config), RIVAL: {"method": RIVAL, "config": dict(rival_config or {})}}, **settings)


def cost_table(results: Results, data: Data, *, rounds: int = 5) -> pd.DataFrame:
    """What each method of a comparison costs: parameters, bytes and seconds of a training step of the whole model, seconds of the whole training.

    Steps (of 32 samples) are timed in turn, with the settings of the runs; seconds of a training are of runs that shared the machine.

    Returns:
        One row a number: variant, quantity, seed (of a step: its round), value.
    """
    rows, first = [], {}
    for run in results.runs:
        first.setdefault(run.variant, run)
        facts = {"parameters": run.metrics["parameters"], "epochs": run.metrics["epochs"], "training [s]": run.metrics["seconds"]}
        rows += [(run.variant, quantity, run.seed, float(value)) for quantity, value in facts.items()]
    models = {variant: run.model_like(seed=run.seed) for variant, run in first.items()}
    prepared = {variant: run.prepared(any_draw(data)) for variant, run in first.items()}
    size = torch.arange(min(BATCH, len(any_draw(data)["train"])))
    for variant, model in models.items():
        for module in learners(model):
            module.begin(prepared[variant]["train"], make_task(prepared[variant].spec.task))
    for number in range(rounds + 1):
        for variant, model in models.items():
            begin = time.perf_counter()
            step(model, prepared[variant], size)
            rows += [(variant, "step [s]", number, time.perf_counter() - begin)] if number else []
    rows += [(variant, "memory of a step [MB]", 0, step_bytes(model, prepared[variant], size) / 1e6) for variant, model in models.items()]
    return pd.DataFrame(rows, columns=["variant", "quantity", "seed", "value"])


def equal_width(data: Data, width: int, *, rounds: int = 5) -> pd.DataFrame:
    """Both methods at one width, their other settings as they come: variant, quantity, value of a training step (see `probes.cost.costs`)."""
    return costs([METHOD, RIVAL], any_draw(data), config={"hidden_size": width}, rounds=rounds)[["variant", "quantity", "value"]]


def say_half(table: pd.DataFrame, *, what: str) -> str:
    """One sentence: the method's cost as a share of MulT's, quantity by quantity; the paper says "almost half the number of parameters".

    Args:
        table: columns variant, quantity, value; several seeds are averaged.
        what: which comparison it is, e.g. `at width 40`.
    """
    means = table.groupby(["quantity", "variant"], sort=False)["value"].mean().unstack()
    said = []
    for quantity, row in means.iterrows():
        if METHOD in row and RIVAL in row and row[RIVAL] > 0 and not np.isnan(row[METHOD]):
            said.append(f"{str(quantity).partition(' [')[0]} {row[METHOD] / row[RIVAL]:.2f} times")
    return f"{METHOD} beside {RIVAL}, {what}: {', '.join(said)}."


def cost_words(table: pd.DataFrame) -> pd.DataFrame:
    """The costs as words: a row a variant, a column a quantity, mean ± sd over seeds where there are several."""

    def say(values: pd.Series) -> str:
        numbers = values.to_numpy()
        if len(set(numbers)) == 1:
            return f"{numbers[0]:,.0f}" if numbers[0] >= 100 or float(numbers[0]).is_integer() else f"{numbers[0]:.3g}"
        return mean_and_spread(numbers)

    wide = table.groupby(["variant", "quantity"], sort=False)["value"].agg(say).unstack(sort=False)
    return wide.rename_axis(columns=None).reset_index()


def draws_of(dataset: str, seeds: int | Sequence[int], **options: Any) -> dict[str, Data]:
    """The same samples as they were recorded and brought to the words: `unaligned` and `aligned`.

    A card with a variant `aligned` has them aligned by their recorded times; other data is averaged over equal shares of the utterance.
    """
    name, known = dataset.partition("/")[0], card(dataset)
    aligned = draws(f"{name}/{ALIGNED}", seeds, **options) if ALIGNED in known.variants else draws(dataset, seeds, align_to="text", **options)
    return {UNALIGNED: draws(dataset, seeds, **options), ALIGNED: aligned}
