"""What is swept: full names of settings, and the values or the span that each may take, checked against the fields of the Configs.

| in Python | on the command line | |
|---|---|---|
| `"hidden": [128, 256, 512]` | `hidden=128,256,512` | these values |
| `"learning_rate": (1e-4, 1e-2, "log")` | `learning_rate=1e-4..1e-2:log` | a span, on a log scale |
| `"dropout": None` | `dropout` | the field's own limits |
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import numpy as np
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from workbench import balance as balancing
from workbench import methods
from workbench.errors import ConfigError, unknown
from workbench.plan import Plan

NOT_SWEPT = ("seed", "device")
"""Fields of the plan that are no setting: seeds are averaged inside a trial."""

LOG_RATIO = 100
"""A span whose ends differ by this factor or more is sampled on a log scale, where it was taken from the limits of a field."""


@dataclass(frozen=True)
class Range:
    """What one setting may be: a list of `values`, or a span from `low` to `high` (both included).

    Args:
        key: full name: `hidden_size`, `plan.learning_rate`, `balance.rate`.
        values: the listed values; empty: a span.
        is_integer: a span of whole numbers.
        is_log: the span is sampled on a log scale.
    """

    key: str
    values: tuple[Any, ...] = ()
    low: float = math.nan
    high: float = math.nan
    is_integer: bool = False
    is_log: bool = False

    @property
    def is_listed(self) -> bool:
        """True where single values are given, False for a span."""
        return bool(self.values)

    @property
    def is_numeric(self) -> bool:
        """True where every value is a number (yes and no are none)."""
        return not self.is_listed or all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)

    @property
    def count(self) -> int | None:
        """How many values there are; None where a span has no end of them."""
        if self.is_listed:
            return len(self.values)
        return int(self.high) - int(self.low) + 1 if self.is_integer else None

    def every(self) -> Sequence[Any]:
        """All values of a range with an end."""
        return self.values or range(int(self.low), int(self.high) + 1)

    def draw(self, random: np.random.Generator) -> Any:
        """A value at random: each listed one as likely as another, a span evenly on its scale."""
        if self.is_listed:
            return self.values[int(random.integers(len(self.values)))]
        if self.is_integer and not self.is_log:
            return int(random.integers(int(self.low), int(self.high) + 1))
        low, high = (self.low - 0.5, self.high + 0.5) if self.is_integer else (self.low, self.high)
        value = math.exp(random.uniform(math.log(low), math.log(high))) if self.is_log else random.uniform(low, high)
        value = min(max(round(value) if self.is_integer else value, self.low), self.high)
        return int(value) if self.is_integer else float(value)

    def as_json(self) -> Any:
        """For sweep.json: a list of values, or the span as a record."""
        if self.is_listed:
            return list(self.values)
        return {"low": self.low, "high": self.high, "integer": self.is_integer, "log": self.is_log}

    @classmethod
    def from_json(cls, key: str, saved: Any) -> "Range":
        """The range that `as_json` wrote."""
        if isinstance(saved, list):
            return cls(key, tuple(saved))
        return cls(key, (), saved["low"], saved["high"], saved["integer"], saved["log"])

    def text(self) -> str:
        """For people: `128, 256, 512` or `0.0001 to 0.01 (log)`."""
        return ", ".join(map(str, self.values)) if self.is_listed else f"{self.low:g} to {self.high:g}{' (log)' if self.is_log else ''}"


def read_ranges(over: Mapping[str, Any], method: str, rule: str | None) -> dict[str, Range]:
    """The ranges of a sweep by full name.

    Args:
        over: setting (full or short name) -> list of values, tuple `(low, high)` or `(low, high, "log")`, or None (the field's limits).
        method: the method whose Config has the fields.
        rule: the balancing rule in use, whose settings are `balance.KEY`.

    Raises:
        ConfigError: an unknown or ambiguous name, a name twice, or values that the field does not take.
    """
    if not over:
        raise ConfigError("a sweep needs at least one setting to vary", expected='for example {"hidden_size": [64, 128]}')
    schemas = owners(method, rule)
    ranges: dict[str, Range] = {}
    for name, wanted in over.items():
        key = full_name(name, schemas)
        if key in ranges:
            raise ConfigError(f"{key} is given twice", where=f"--over {name}")
        owner, _, field = key.rpartition(".")
        ranges[key] = make_range(key, wanted, schemas[owner].model_fields[field])
    return ranges


def owners(method: str, rule: str | None) -> dict[str, type[BaseModel]]:
    """The Configs whose fields can be swept, by the prefix of their settings: none (the method), `plan`, `balance`."""
    found: dict[str, type[BaseModel]] = {"": methods.method(method).Config, "plan": Plan}
    return {**found, "balance": balancing.rule(rule).Config} if rule else found


def full_name(name: str, schemas: Mapping[str, type[BaseModel]]) -> str:
    """The one setting that a name means: a field by its full name, else of the method, else of the plan, else the only one that starts so.

    Raises:
        ConfigError: no such setting (near names are given), several start so, or it cannot be swept.
    """
    known = {f"{owner}.{field}".lstrip("."): field for owner, schema in schemas.items() for field in schema.model_fields}
    if name.removeprefix("plan.") in NOT_SWEPT:
        raise ConfigError(f"{name} is no setting to sweep", expected="a setting of the method, the plan or the rule", do="seeds: --seeds 3")
    if name in known:
        return name
    if "." not in name:
        same = [key for key, field in known.items() if field == name]
        starts = [[key for key, field in known.items() if key.startswith(owner) and field.startswith(name)] for owner in ("", "plan.")]
        in_method = [key for key in starts[0] if "." not in key]
        found = same[:1] or (in_method if in_method else starts[0])
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(f'"{name}" is the start of several settings', expected=f"one of {', '.join(found)}")
    if name.startswith("balance.") and "balance" not in schemas:
        raise ConfigError(f"{name}: no balancing rule is on", expected="a rule", do="--balance RULE (workbench list balancers)")
    raise unknown("setting", name, [key for key in known if key.removeprefix("plan.") not in NOT_SWEPT])


def make_range(key: str, wanted: Any, field: FieldInfo) -> Range:
    """A range from what was asked, checked against the field.

    Raises:
        ConfigError: a value that the field does not take, a span of something that is no number, or limits that the field does not have.
    """
    if wanted is None:
        return limits(key, field)
    if isinstance(wanted, tuple):
        return _span(key, wanted, field)
    if not isinstance(wanted, list) or not wanted:
        raise ConfigError(f"{key}={wanted!r} is no range", expected="a list of values, (low, high), (low, high, 'log'), or None")
    values = [_value(key, value, field) for value in wanted]
    return Range(key, tuple(value for place, value in enumerate(values) if plain(value) not in map(plain, values[:place])))


def _span(key: str, wanted: Sequence[Any], field: FieldInfo) -> Range:
    """The range of a tuple."""
    kind = _number(field)
    if kind is None or len(wanted) not in (2, 3) or (len(wanted) == 3 and wanted[2] != "log"):
        what = f"{key} is no number and has no span" if kind is None else f"{key}={tuple(wanted)!r} is no span"
        raise ConfigError(what, expected="a list of values" if kind is None else "(low, high) or (low, high, 'log')")
    low, high = _value(key, wanted[0], field), _value(key, wanted[1], field)
    if low is None or high is None or not low < high:
        raise ConfigError(f"{key}: {low} to {high} is no span", expected="a lower and a higher number")
    if len(wanted) == 3 and low <= 0:
        raise ConfigError(f"{key}: a log scale cannot begin at {low}", expected="a span above 0")
    return Range(key, (), low, high, kind is int, len(wanted) == 3)


def limits(key: str, field: FieldInfo) -> Range:
    """The range that the field's own limits allow.

    Both ends as the Config has them (an open end: the next number inside). A field that must only be above 0 (rates) has no smallest value: it is
    sampled two decades around its default. Log scale where the ends differ by a factor of 100 or more.

    Raises:
        ConfigError: the field has no limits on both sides.
    """
    kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not type(None)]
    if get_origin(field.annotation) is Literal:
        return Range(key, tuple(get_args(field.annotation)))
    if kinds == [bool]:
        return Range(key, (False, True))
    found = {name: getattr(item, name) for item in field.metadata for name in ("ge", "gt", "le", "lt") if getattr(item, name, None) is not None}
    kind = _number(field)
    low, high = found.get("ge", found.get("gt")), found.get("le", found.get("lt"))
    if kind is None or low is None or high is None:
        raise ConfigError(f"{key} has no limits on both sides", expected=f"values or a span, e.g. {key.rpartition('.')[2]}=1,2,3 or =1..3")
    if kind is int:
        low, high = int(low) + ("gt" in found), int(high) - ("lt" in found)
    elif "gt" in found and low == 0 and field.default:
        low, high = field.default / 100, min(high, field.default * 100)
    else:
        low, high = (math.nextafter(low, high) if "gt" in found else float(low)), (math.nextafter(high, low) if "lt" in found else float(high))
    return Range(key, (), low, high, kind is int, low > 0 and high / low >= LOG_RATIO)


def _number(field: FieldInfo) -> type | None:
    """Its kind, int or float, where the field is a number (or nothing), else None."""
    kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 and kinds[0] in (int, float) else None


def _value(key: str, value: Any, field: FieldInfo) -> Any:
    """One value as the field takes it."""
    try:
        # The field's own limits stand in its metadata.
        return TypeAdapter(Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation).validate_python(value)
    except ValidationError as error:
        hint = f" ({field.description})" if field.description else ""
        raise ConfigError(f"{key}={value!r} will not do: {error.errors()[0]['msg']}", expected=f"{key}{hint}") from error


def plain(value: Any) -> str:
    """A value as text that is equal where the values are: for comparing and for lists and records in tables."""
    return json.dumps(value, sort_keys=True)
