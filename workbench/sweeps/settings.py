"""Which settings a sweep tries: every combination, one at a time, at random. A setting is a dict: full name -> value, one entry a swept key."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from workbench.errors import ConfigError
from workbench.sweeps.ranges import Range, plain

SAMPLERS = ("grid", "each", "random", "tpe")

Setting = dict[str, Any]

DRAWS = 200
"""Draws in search of a setting that was not tried, before a space with an end is searched from end to end."""


def choose_sampler(sampler: str | None, trials: int | None, ranges: Mapping[str, Range]) -> str:
    """The sampler asked for; else grid where every range lists its values, tpe where one is a span.

    Raises:
        ConfigError: an unknown sampler, one that cannot do with these ranges, or a number of trials that it does not take or lacks.
    """
    spans = [key for key, found in ranges.items() if not found.is_listed]
    chosen = sampler or ("tpe" if spans or trials else "grid")
    if chosen not in SAMPLERS:
        raise ConfigError(f'unknown sampler "{chosen}"', expected=f"one of {', '.join(SAMPLERS)}")
    if chosen in ("grid", "each"):
        if spans:
            what = f"the sampler {chosen} needs values, and {', '.join(spans)} has a span"
            raise ConfigError(what, expected=f"{spans[0]}=value,value,...", do="or --sampler random or tpe with --trials N")
        if trials is not None:
            raise ConfigError(f"the sampler {chosen} tries every setting once; trials={trials} is for random and tpe")
    elif trials is None or trials < 1:
        raise ConfigError(f"the sampler {chosen} needs a number of trials of 1 or more", expected="for example --trials 40")
    return chosen


def listed_settings(sampler: str, ranges: Mapping[str, Range], base: Mapping[str, Any], trials: int | None) -> list[Setting]:
    """The settings of a sampler that does not learn from results, in order; for tpe none.

    Args:
        base: the value of each swept key where it is not varied (sampler each).
        trials: how many (random).
    """
    if sampler == "grid":
        return [dict(zip(ranges, values, strict=True)) for values in product(*(found.values for found in ranges.values()))]
    if sampler == "each":
        varied = [{**{name: base[name] for name in ranges}, key: value} for key, found in ranges.items() for value in found.values]
        return list({plain(setting): setting for setting in varied}.values())
    if sampler == "random":
        return random_settings(ranges, trials or 0)
    return []


def random_settings(ranges: Mapping[str, Range], trials: int) -> list[Setting]:
    """Settings drawn at random, none twice; the first n of more are the n of fewer, so a sweep can grow.

    Fewer than asked where listed values have no more combinations.
    """
    chosen: dict[str, Setting] = {}
    for number in range(trials):
        setting = unseen(ranges, chosen, number)
        if setting is None:
            break
        chosen[plain(setting)] = setting
    return list(chosen.values())


def unseen(ranges: Mapping[str, Range], seen: Mapping[str, Any], number: int) -> Setting | None:
    """A setting at random that is not among those seen (by `plain`); the same for the same number and seen; None where all were."""
    random = np.random.default_rng([20_26, number])
    for _ in range(DRAWS):
        setting = {key: found.draw(random) for key, found in ranges.items()}
        if plain(setting) not in seen:
            return setting
    if any(found.count is None for found in ranges.values()):
        return None
    every = (dict(zip(ranges, values, strict=True)) for values in product(*(found.every() for found in ranges.values())))
    left = [setting for setting in every if plain(setting) not in seen]
    return left[int(random.integers(len(left)))] if left else None


def grouped(setting: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A setting by what it belongs to: `config` (the method), `plan`, `balance`."""
    groups: dict[str, dict[str, Any]] = {"config": {}, "plan": {}, "balance": {}}
    for key, value in setting.items():
        owner, _, field = key.rpartition(".")
        groups[owner or "config"][field] = value
    return groups


def say(setting: Mapping[str, Any]) -> str:
    """`hidden_size=64, plan.learning_rate=0.001`."""
    return ", ".join(f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in setting.items())
