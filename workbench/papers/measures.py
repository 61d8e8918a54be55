"""What can be measured of finished runs for a claim: scores, gradients by modality, weights, seconds. Each gives a function of the findings."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from workbench.comparison import gather
from workbench.data.batch import Dataset
from workbench.experiments import Results
from workbench.papers.claim import Findings, Measure, Measured, UntestableError
from workbench.probes.ladder import constant_score
from workbench.statistics import paired_difference, score
from workbench.tasks import LOWER_IS_BETTER, metric_title, metrics_of

GRADIENTS = "log2 of a ratio of gradients"
SHARE = "share"
SECONDS = "seconds an epoch"


def compares(after: str, before: str, *, of: str, metric: str = "", split: str = "test", task: str = "") -> Measure:
    """The score of one variant against another's, by seed.

    A comparison of two models that both learned no more than the best constant answer says nothing, and is not made.

    Args:
        after, before: variants of the comparison.
        of: the comparison.
        metric: which one; empty: the headline.
        split: whose scores.
        task: the kind of task that the claim is about; empty: any.
    """

    def measure(found: Findings) -> Measured:
        chosen = _metric(found, of, metric, task)
        values = {name: score_by_seed(found, of, name, chosen, split) for name in (after, before)}
        has_learned(found, of, values, chosen, split)
        return Measured(values[after], values[before], (after, before), metric_title(chosen), chosen in LOWER_IS_BETTER)

    return measure


def _metric(found: Findings, of: str, metric: str, task: str) -> str:
    """The metric's name, where the task has it.

    Raises:
        UntestableError: it has not.
    """
    spec, results = found.task(of), found.of(of)
    if task and spec.kind != task:
        raise UntestableError(f"the claim is about a {task} task, {_data_name(found, of)} is {spec.kind}")
    if metric and metric not in metrics_of(spec):
        raise UntestableError(f"{_data_name(found, of)} has no {metric_title(metric)}")
    return metric or results.headline


def _data_name(found: Findings, of: str) -> str:
    run = found.of(of).runs[0]
    return str(run.config["dataset"])


def score_by_seed(found: Findings, of: str, variant: str, metric: str, split: str = "test") -> pd.Series:
    """The scores of a variant.

    Raises:
        UntestableError: no run of it is there, or none has the metric.
    """
    frame = found.variant(of, variant).scores(split, metrics=[metric])
    values = frame.dropna(subset=["value"]).set_index("seed")["value"] if len(frame) else pd.Series(dtype=float)
    if not len(values):
        raise UntestableError(f"{variant} has no {metric_title(metric)}")
    return values.astype(float)


def has_learned(found: Findings, of: str, values: Mapping[str, pd.Series], metric: str, split: str = "test") -> None:
    """Looks whether one of several scores is found better than that of the best constant answer.

    Args:
        of: the comparison whose data it is.
        values: name to scores by seed.

    Raises:
        UntestableError: none is.
    """
    data, sign = found.data[of], -1.0 if metric in LOWER_IS_BETTER else 1.0
    constants = []
    for own in values.values():
        constant = pd.Series({seed: constant_score(_draw(data, int(seed)), metric, split=split) for seed in own.index})
        gain = paired_difference(sign * own.to_numpy(), sign * constant.to_numpy())
        if gain.mean > 0 and (gain.is_found or gain.n < 2):
            return
        constants.append(float(constant.mean()))
    names = " nor ".join(values)
    raise UntestableError(f"neither {names} is found to have learned more than the best constant answer ({score(constants[0])})")


def _draw(data: Dataset | Mapping[int, Dataset], seed: int) -> Dataset:
    return data if isinstance(data, Dataset) else data[seed]


def gradient_lead(variant: str, modality: str, *, of: str) -> Measure:
    """By how much one modality's gradient magnitude is above the largest of the others, mean over epochs, in powers of two."""

    def measure(found: Findings) -> Measured:
        table = np.log2(_gradients(found.variant(of, variant)))
        if modality not in table:
            raise UntestableError(f"{_data_name(found, of)} has no {modality}")
        lead = table[modality] - table.drop(columns=modality).max(axis=1)
        return against_constant(lead.groupby("seed").mean(), 0.0, f"{modality} over the largest other, {variant}", GRADIENTS)

    return measure


def gradient_spread(after: str, before: str, *, of: str) -> Measure:
    """How far the modalities' gradient magnitudes are apart, largest over smallest, mean over epochs, in powers of two."""

    def measure(found: Findings) -> Measured:
        tables = [np.log2(_gradients(found.variant(of, name))) for name in (after, before)]
        spread = [(table.max(axis=1) - table.min(axis=1)).groupby("seed").mean() for table in tables]
        return Measured(spread[0], spread[1], (after, before), GRADIENTS)

    return measure


def _gradients(results: Results) -> pd.DataFrame:
    """Gradient magnitude of the last unimodal layer: a row a seed and epoch, a column a modality."""
    table = results.steps("last_layer").pivot_table(index=["seed", "epoch"], columns="modality", values="value", observed=True)
    table = table[(table > 0).all(axis=1)]
    if not len(table) or table.shape[1] < 2:
        raise UntestableError("no gradients of two modalities were traced")
    return table


def weight_share(variant: str, modality: str, *, of: str, epoch: int) -> Measure:
    """A modality's share of the balancing weights at an epoch (or the last one before it), against an even share."""

    def measure(found: Findings) -> Measured:
        table = found.variant(of, variant).steps("weight").pivot_table(index=["seed", "epoch"], columns="modality", values="value", observed=True)
        if modality not in table:
            raise UntestableError(f"no weight of {modality} was traced")
        share = (table[modality] / table.sum(axis=1)).reset_index(name="share")
        reached = share[share["epoch"] <= epoch]
        last = reached[reached["epoch"] == reached.groupby("seed")["epoch"].transform("max")].set_index("seed")["share"]
        return against_constant(last, 1 / table.shape[1], f"{modality}'s share of the weights", SHARE, "an even share")

    return measure


def seconds(after: str, before: str, *, of: str) -> Measure:
    """Seconds of an epoch, training and valid pass, without the first; only where all were taken on one kind of machine."""

    def measure(found: Findings) -> Measured:
        tables = [gather(found.variant(of, name).runs) for name in (after, before)]
        machines = pd.concat(tables)["machine"].nunique()
        if machines > 1:
            raise UntestableError(f"seconds come from {machines} kinds of machines or thread counts")
        values = [table.set_index("seed")["seconds"] for table in tables]
        return Measured(values[0], values[1], (after, before), SECONDS, is_error=True)

    return measure


def against_constant(values: pd.Series, constant: float, name: str, quantity: str, constant_name: str = "") -> Measured:
    """Values by seed against one number."""
    said = f"{constant_name} ({score(constant)})" if constant_name else f"{constant:g}"
    return Measured(values.astype(float), pd.Series(constant, index=values.index), (name, said), quantity, has_constant=True)
