"""Controls made from a settings schema: bounds become slider ends, the description the tooltip, and a changed value shows its default beside it."""

import types
from collections.abc import Callable, Mapping
from html import escape
from math import floor, log10
from typing import Any, Literal, Union, get_args, get_origin

import ipywidgets as ip
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

WIDE = {"description_width": "150px"}


class Control:
    """One setting: `box` is what is seen, `value` what it says.

    Args:
        name: of the setting.
        field: of the schema.
        default: what holds where nobody touches it.
        is_live: may be changed while something trains.
        changed: called with the control after its value has changed.
    """

    def __init__(self, name: str, field: FieldInfo, default: Any, *, is_live: bool, changed: Callable[["Control"], None]) -> None:
        self.name, self.default, self.is_live = name, default, is_live
        self.widget = widget_for(name, field, default)
        self.widget.tooltip = f"{field.description or name} ({'live' if is_live else 'takes effect with the next start'})"
        self.widget.add_class(f"wb-set-{name.replace('.', '-').replace('_', '-')}")
        self.note = ip.HTML("<small>live</small>" if is_live else "", layout={"margin": "2px 4px"})
        self.box = ip.HBox([self.widget, self.note])
        self.widget.observe(lambda change: self._moved(changed), names="value")

    def _moved(self, changed: Callable[["Control"], None]) -> None:
        words = [*(["live"] if self.is_live else []), *([f"default {shown(self.default)}"] if self.is_changed else [])]
        self.note.value = f"<small>{escape(', '.join(words))}</small>" if words else ""
        changed(self)

    @property
    def value(self) -> Any:
        """The value as the schema takes it."""
        return read(self.widget.value) if isinstance(self.widget, ip.Text) else self.widget.value

    @property
    def is_changed(self) -> bool:
        """True where it says something else than the default."""
        return self.value != self.default

    def show(self, value: Any) -> None:
        """Another value, as its widget has it."""
        self.widget.value = shown(value) if isinstance(self.widget, ip.Text) else value


def shown(value: Any) -> str:
    """A value as it is written in a text field."""
    if value is None:
        return "none"
    if isinstance(value, (dict, list)):
        return yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return f"{value:g}" if isinstance(value, float) else str(value)


def read(text: str) -> Any:
    """What was written in a text field; text that is no YAML stays text."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return None if value == "none" else value


def bounds(field: FieldInfo) -> tuple[float | None, float | None, bool]:
    """Lowest and highest value, and whether the lowest one itself will not do."""
    found: dict[str, float] = {}
    for part in field.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if (value := getattr(part, name, None)) is not None:
                found[name] = value
    return found.get("ge", found.get("gt")), found.get("le", found.get("lt")), "gt" in found


def widget_for(name: str, field: FieldInfo, value: Any) -> ip.Widget:
    """The control that fits the field's type and bounds; a text field where none does."""
    kind, says = field.annotation, {"description": name.rpartition(".")[2].replace("_", " "), "style": WIDE, "layout": {"width": "360px"}}
    if get_origin(kind) is Literal:
        return ip.Dropdown(options=list(get_args(kind)), value=value, **says)
    is_optional = get_origin(kind) in (Union, types.UnionType)
    if kind is bool:
        return ip.Checkbox(value=value, indent=True, **says)
    low, high, is_open = bounds(field)
    if is_optional or kind not in (int, float) or low is None or high is None:
        return ip.Text(value=shown(value), continuous_update=False, **says)
    if kind is int:
        if high - low <= 100:
            return ip.IntSlider(value=value, min=int(low), max=int(high), continuous_update=False, **says)
        return ip.BoundedIntText(value=value, min=int(low), max=int(high), continuous_update=False, **says)
    if is_open and low == 0:
        least = min(1e-6, value)
        return ip.FloatLogSlider(
            value=value, min=floor(log10(least)), max=log10(high), step=0.05, readout_format=".2g", continuous_update=False, **says
        )
    return ip.FloatSlider(value=value, min=low, max=high, step=(high - low) / 100, readout_format=".2f", continuous_update=False, **says)


def controls_for(
    schema: type[BaseModel],
    values: Mapping[str, Any],
    *,
    group: str,
    live: tuple[str, ...],
    changed: Callable[[Control], None],
    without: tuple[str, ...] = (),
) -> dict[str, Control]:
    """A control for each field of a schema, by `group.name`.

    Args:
        schema: the settings.
        values: values that hold instead of the schema's defaults (a preset's).
        group: `config`, `plan`, `balance` or `data`.
        live: fields that may be changed while something trains.
        changed: see `Control`.
        without: fields that have no control.
    """
    found = {}
    for name, field in schema.model_fields.items():
        if name not in without:
            default = values.get(name, field.get_default(call_default_factory=True))
            found[f"{group}.{name}"] = Control(f"{group}.{name}", field, default, is_live=name in live, changed=changed)
    return found
