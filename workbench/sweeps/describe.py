"""What a sweep is of, from names and values: every one checked and settled before anything is trained."""

from collections.abc import Mapping
from typing import Any

from workbench import methods
from workbench.errors import ConfigError
from workbench.ordering import Order, order
from workbench.sweeps.ranges import NOT_SWEPT, read_ranges
from workbench.sweeps.record import Record
from workbench.sweeps.settings import choose_sampler
from workbench.sweeps.sources import Source
from workbench.sweeps.store import without_password
from workbench.tasks import LOWER_IS_BETTER, make_task


def make_record(
    method: str, source: Source, over: Mapping[str, Any] | None, given: dict[str, Any], *, seeds: tuple[int, ...], sampler: str | None,
    trials: int | None, prune: bool | None, study: str | None,
) -> Record:  # fmt: skip
    """What the sweep is of, every value checked and settled.

    Raises:
        ConfigError: an unknown name or value.
    """
    data = source.seed_data(seeds[0])
    wanted = order(method, data, **given)
    if over is None:
        over, sampler = published_ranges(method), sampler or "each"
    ranges = read_ranges(over, method, wanted.balance)
    sampler = choose_sampler(sampler, trials, ranges)
    base = settled(wanted)
    metric = make_task(data.spec.task).headline
    facts = {
        "name": source.name,
        "options": source.options,
        "modalities": list(source.modalities),
        "fingerprints": source.prints(seeds),
    }
    return Record(
        method=method,
        dataset=data.name,
        data=facts,
        given=given,
        base={key: value for key, value in base.items() if key not in ranges},
        usual={key: base[key] for key in ranges},
        ranges={key: found.as_json() for key, found in ranges.items()},
        sampler=sampler,
        trials=trials or 0,
        seeds=list(seeds),
        metric=metric,
        is_lower_better=metric in LOWER_IS_BETTER,
        prune=sampler in ("random", "tpe") if prune is None else prune,
        study=without_password(study) if study else "",
        study_name="",
    )


def published_ranges(method: str) -> dict[str, list[Any]]:
    """The ranges that the method's paper sweeps.

    Raises:
        ConfigError: it has none.
    """
    found = methods.method(method).RANGES
    if not found:
        what, example = f"{method} has no published ranges: say what to vary", f"workbench sweep {method} DATASET --over hidden_size=64,128"
        raise ConfigError(what, expected="KEY=VALUE,VALUE, KEY=LOW..HIGH, or KEY (the limits of its field)", do=example)
    joined: dict[str, list[Any]] = {}
    for ranges in found.values():
        for key, values in ranges.items():
            joined[key] = [*joined.get(key, []), *(value for value in values if value not in joined.get(key, []))]
    return joined


def settled(wanted: Order) -> dict[str, Any]:
    """Every setting of an order by full name, but the seed and the device."""
    plan = {f"plan.{key}": value for key, value in wanted.plan.values().items() if key not in NOT_SWEPT}
    rule = {f"balance.{key}": value for key, value in wanted.balance_config.items()}
    return {**wanted.config.model_dump(), **plan, **rule, **({"balance": wanted.balance} if wanted.balance else {})}
