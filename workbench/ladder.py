"""The questions of `07_delta_attention` about stages and prices: what each stage adds, Table 2 of the paper, and what it costs beside MulT.

figures.score_ladder(rungs({"delta_attention": results}), ceiling=rung_ceilings(data, "acc2_non0"))
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from workbench.data.card import card, cards
from workbench.delta import ALIGNED, METHOD, RIVAL, UNALIGNED, suited
from workbench.experiments import Results
from workbench.probes.cost import costs, step, step_bytes
from workbench.probes.ladder import BLOCKS, stage_scores
from workbench.statistics import mean_and_spread, score
from workbench.studies import any_draw, draws, titles
from workbench.tasks import label_key, make_task, metrics_of
from workbench.taxonomy import Data, trained
from workbench.training import learners

PRINTED = "mosei_emotions_csd"
"""The data card with the rows of the paper's Table 2."""

OVERALL = ("accuracy_top", "f1_weighted")
"""The metrics that stand in for the columns Acc6 and F1 of Table 2, which the paper does not define."""

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


def alone_trained(data: Data, *, config: Mapping[str, Any] | None = None, **settings: Any) -> Results:
    """The method and no other (see `workbench.taxonomy.trained`)."""
    return trained(data, {METHOD: suited(config)}, **settings)


def table_metrics(data: Data) -> list[str]:
    """The metrics that a task has for a table in the form of Table 2: overall ones, the error, each label's F1; all metrics of other tasks."""
    task = any_draw(data).spec.task
    known = metrics_of(task)
    singles = [f"f1_{label_key(name)}" for name in task.classes]
    return [name for name in (*OVERALL, "mae", *singles) if name in known] if task.kind == "multilabel" else known


def label_accuracies(data: Data) -> list[str]:
    """Each label's accuracy, the columns Acc2 of the emotions in Table 2, by the metrics' names; none where the task has no labels, or too many."""
    task = any_draw(data).spec.task
    known = metrics_of(task)
    return [name for label in task.classes if (name := f"accuracy_{label_key(label)}") in known] if task.kind == "multilabel" else []


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
    """What each method of a comparison costs: parameters, memory and seconds of a joint step, seconds of the whole training.

    A joint step trains all parameters at once: what a method in stages never does, and what it would cost beside one without stages. Such steps (of
    32 samples) are timed in turn, with the settings of the runs; seconds of a training are of runs that shared the machine.

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
            rows += [(variant, "joint step [s]", number, time.perf_counter() - begin)] if number else []
    rows += [(variant, "memory of a joint step [MB]", 0, step_bytes(model, prepared[variant], size) / 1e6) for variant, model in models.items()]
    return pd.DataFrame(rows, columns=["variant", "quantity", "seed", "value"])


def equal_width(data: Data, width: int, *, rounds: int = 5) -> pd.DataFrame:
    """Both methods at one width, their other settings as they come: variant, quantity, value of a joint step (see `probes.cost.costs`)."""
    found = costs([METHOD, RIVAL], any_draw(data), config={"hidden_size": width}, rounds=rounds)[["variant", "quantity", "value"]]
    return found.assign(quantity=found["quantity"].replace({"seconds": "joint step [s]", "memory": "memory of a joint step [bytes]"}))


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
