"""A sweep beside comparisons: its settings as variants, its scores beside those that were trained by hand, the chosen setting beside the base."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from workbench import methods
from workbench.data.batch import Dataset
from workbench.errors import ConfigError
from workbench.experiments import Results
from workbench.runs import Run
from workbench.sweeps.describe import published_ranges
from workbench.sweeps.desk import setting_of
from workbench.sweeps.ranges import Range, plain, read_ranges
from workbench.sweeps.results import Sweep
from workbench.sweeps.settings import Setting, grouped, say
from workbench.sweeps.space import shown

OUR_OWN = "workbench"
"""The source of presets that no paper has starts so."""


def read_over(over: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What is swept, with spans that are written as in the terminal (`"1e-4..1e-2:log"`) as tuples: a notebook's parameters have no tuples.

    Raises:
        ConfigError: a text is no span.
    """
    return None if over is None else {key: _span(key, wanted) if isinstance(wanted, str) else wanted for key, wanted in over.items()}


def _span(key: str, text: str) -> tuple[str, ...]:
    """`4..64` or `1e-4..1e-2:log` as a tuple; its numbers are read with the field's own type later."""
    low, is_span, high = text.removesuffix(":log").partition("..")
    if not is_span:
        raise ConfigError(f'{key}="{text}" is no span', expected='"1e-4..1e-2", "1e-4..1e-2:log", or a list of values')
    return (low, high, "log") if text.endswith(":log") else (low, high)


def arguments(result: Sweep) -> dict[str, Any]:
    """The arguments of `sweep` with which a sweep of a named data set was made: method, data, over, seeds, and what is not swept.

    Raises:
        ConfigError: the sweep was made on data that was given as an object.
    """
    record = result.record
    if not record.data["name"]:
        raise ConfigError("this sweep was made on data that was given as an object", where=str(result.path), expected="a sweep of a data set by name")
    over = {key: list(found.values) if found.is_listed else _ends(found) for key, found in record.read_ranges().items()}
    facts = {"method": record.method, "data": record.data["name"], "over": over, "seeds": list(record.seeds), "data_options": record.data["options"]}
    return {**facts, **record.given, "modalities": record.data["modalities"] or None}


def _ends(found: Range) -> tuple[Any, ...]:
    return (found.low, found.high, "log") if found.is_log else (found.low, found.high)


def corners(over: Mapping[str, Any] | None, method: str) -> dict[str, Setting]:
    """Two settings by their names: the first value (or lower end) of everything that is swept, and the last.

    Args:
        over: as for `sweep`; None: the method's published ranges.
        method: the method's name.

    Raises:
        ConfigError: an unknown name or value.
    """
    ranges = read_ranges(published_ranges(method) if over is None else over, method, methods.method(method).BALANCE)
    first = {key: found.values[0] if found.is_listed else found.low for key, found in ranges.items()}
    last = {key: found.values[-1] if found.is_listed else found.high for key, found in ranges.items()}
    return {say(shown(setting)): setting for setting in (first, last)}


def sealed(data: Dataset | Mapping[int, Dataset]) -> Dataset | dict[int, Dataset]:
    """The data as a sweep's workers get it, without its test split: what is trained on it, by hand too, is not scored on test."""
    return data.sealed() if isinstance(data, Dataset) else {seed: draw.sealed() for seed, draw in data.items()}


def base_name(result: Sweep, key: str, data: Dataset) -> str:
    """What the value of a swept setting is where it is not varied: `published` where a paper's preset of the method has it, else `base`."""
    record = result.record
    kept = data.select(*record.data["modalities"]) if record.data["modalities"] else data
    found = methods.chosen_preset(record.method, kept, record.given["preset"])
    published = (
        {**found.config, **{f"plan.{name}": value for name, value in found.plan.items()}} if found and not found.source.startswith(OUR_OWN) else {}
    )
    return "published" if key in published and plain(published[key]) == plain(record.usual[key]) else "base"


def say_trials(result: Sweep) -> str:
    """How many trials a sweep has, and what of: `10 values, one setting at a time: 8 trials (values that give the same setting ...)`."""
    trials = _count(len(result.trials()), "trial")
    counts = [len(found.values) for found in result.record.read_ranges().values()]
    if result.record.sampler == "grid":
        return f"{' x '.join(map(str, counts))} values, every combination: {trials}"
    if result.record.sampler != "each":
        return f"{trials}, {result.record.sampler}"
    same = "" if sum(counts) == len(result.trials()) else " (values that give the same setting are trained once)"
    return f"{_count(sum(counts), 'value')}, one setting at a time: {trials}{same}"


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def variant(order: Mapping[str, Any], setting: Setting) -> dict[str, Any]:
    """A setting of a sweep as a variant of `workbench.experiments.compare`; no setting: the base.

    Args:
        order: arguments of `sweep`; those that say how to train are taken over.
        setting: values by full name.
    """
    kept = {key: order[key] for key in ("method", "preset", "balance", "modalities") if key in order}
    groups = grouped(setting)
    changed = {"config": groups["config"], "plan": groups["plan"], "balance_config": groups["balance"]}
    return kept | {key: {**(order.get(key) or {}), **values} for key, values in changed.items()}


def side_by_side(by_hand: Results, result: Sweep) -> pd.DataFrame:
    """The headline score on valid of each training by hand, and of the same setting and seed in the sweep (nan where it has none)."""
    scores = result.scores([result.metric])
    # Tables lose what a setting is (none beside numbers becomes nan, a list becomes text): settings are compared as the study and the runs have them.
    tried = {trial.number: plain(setting) for trial in result.store.trials() if (setting := setting_of(trial))}
    swept = scores.assign(setting=scores["trial"].map(tried))[["setting", "seed", "value"]]
    trained = {run.variant: plain(_setting_of_run(run, result.keys)) for run in by_hand.runs}
    hand = by_hand.scores("valid", metrics=[result.metric])[["variant", "seed", "value"]]
    hand = hand.assign(setting=hand["variant"].map(trained))
    return hand.merge(swept, on=["setting", "seed"], how="left", suffixes=("_by_hand", "_in_sweep")).drop(columns="setting")


def _setting_of_run(run: Run, keys: Sequence[str]) -> Setting:
    """What a run was trained with, of the swept settings."""
    owners = {"": run.config["config"], "plan": run.config["plan"], "balance": run.config["balance_config"]}
    return {key: owners[key.rpartition(".")[0]].get(key.rpartition(".")[2]) for key in keys}


def chosen_and_base(result: Sweep, base: Results, *, data: Dataset | Mapping[int, Dataset] | None = None) -> pd.DataFrame:
    """The headline score of the chosen setting and of the base, on valid and, looked at here, on test: variant, split, seed, value.

    Args:
        result: a finished sweep.
        base: the runs of one variant, with the sweep's seeds.
        data: all splits, where the sweep was made on objects.

    Raises:
        WorkbenchError: trials are unfinished, or a run of the chosen setting is not here.
    """
    number = result.best()["trial"]
    valid = result.scores([result.metric])
    valid = valid[valid["trial"] == number].assign(variant="chosen")
    test = result.on_test(data)
    test = test[test["metric"] == result.metric].assign(variant="chosen", split="test")
    usual = [base.scores(split, metrics=[result.metric]).assign(variant="base") for split in ("valid", "test")]
    return pd.concat([valid, test, *usual], ignore_index=True)[["variant", "split", "seed", "value"]]
