"""Settings as an optuna study keeps them, and back.

Numbers stand as numbers. Where single values are listed and they are no numbers, a sweep that learns from results (tpe) has them as choices, and
every other one as their place in the list, because optuna lets nobody add a choice to a study. The setting itself also stands in each trial's user
attribute `setting`, which is what is read back.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.sweeps.ranges import Range, plain
from workbench.sweeps.settings import Setting

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LOG_AXIS = 8
"""Listed positive numbers whose ends differ by this factor or more are drawn on a log axis."""


@dataclass(frozen=True)
class Space:
    """The swept keys as optuna's distributions.

    Args:
        ranges: what is swept.
        base: the value of each key where it is not varied.
        learns: the sampler proposes settings itself (tpe).
    """

    ranges: Mapping[str, Range]
    base: Mapping[str, Any]
    learns: bool

    def distributions(self) -> dict[str, "BaseDistribution"]:
        """For the study on disk."""
        return {key: self._distribution(found) for key, found in self.ranges.items()}

    @property
    def count(self) -> int | None:
        """How many settings there are; None where a span has no end of them."""
        sizes = [found.count for found in self.ranges.values()]
        return None if None in sizes else math.prod(sizes)

    def encode(self, setting: Setting) -> dict[str, Any]:
        """A setting as the study's parameters."""
        return {key: self._encode(self.ranges[key], value) for key, value in setting.items()}

    def decode(self, parameters: Mapping[str, Any]) -> Setting:
        """The setting of parameters that the sampler proposed."""
        return {key: self._decode(found, parameters[key]) for key, found in self.ranges.items()}

    def _all(self, found: Range) -> list[Any]:
        """The listed values, and the base where it is another."""
        base = [self.base[found.key]] if found.key in self.base else []
        return [*found.values, *(value for value in base if plain(value) not in map(plain, found.values))]

    def _is_numeric(self, found: Range) -> bool:
        return Range(found.key, tuple(self._all(found))).is_numeric

    def _distribution(self, found: Range) -> "BaseDistribution":
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if not found.is_listed:
            kind = IntDistribution if found.is_integer else FloatDistribution
            return kind(found.low, found.high, log=found.is_log)
        if self.learns:
            return CategoricalDistribution([_choice(value) for value in found.values])
        values = self._all(found)
        if not self._is_numeric(found):
            return IntDistribution(0, len(values) - 1)
        kind = IntDistribution if all(isinstance(value, int) for value in values) else FloatDistribution
        return kind(min(values), max(values))

    def _encode(self, found: Range, value: Any) -> Any:
        if not found.is_listed or (not self.learns and self._is_numeric(found)):
            return value
        return _choice(value) if self.learns else [plain(item) for item in self._all(found)].index(plain(value))

    def _decode(self, found: Range, parameter: Any) -> Any:
        if not found.is_listed:
            return parameter
        return next(value for value in found.values if plain(_choice(value)) == plain(parameter))

    def shown_distributions(self, settings: list[Setting]) -> dict[str, "BaseDistribution"]:
        """For pictures: every key over what its trials have, numbers on a numeric axis (log where they span a factor of 8), others as choices."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        shown: dict[str, Any] = {}
        for key, found in self.ranges.items():
            tried = [setting[key] for setting in settings]
            if not found.is_listed:
                shown[key] = self._distribution(found)
            elif Range(key, tuple(values := [*self._all(found), *tried])).is_numeric:
                kind = IntDistribution if all(isinstance(value, int) for value in values) else FloatDistribution
                shown[key] = kind(min(values), max(values), log=min(values) > 0 and max(values) >= LOG_AXIS * min(values))
            else:
                shown[key] = CategoricalDistribution(list(dict.fromkeys(map(_choice, values))))
        return shown


def _choice(value: Any) -> Any:
    """A value as optuna takes a choice: lists and records as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else plain(value)


def shown(setting: Setting) -> Setting:
    """A setting as it stands in tables and pictures: lists and records as JSON."""
    return {key: _choice(value) for key, value in setting.items()}
