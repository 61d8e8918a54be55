"""What is to be trained, as controls: data, method, rule, seed, and every setting and dial behind them."""

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as ip

from workbench import balance as balancing
from workbench import methods
from workbench.data import available, is_simulated
from workbench.data.card import cards
from workbench.data.simulator.dials import PRESETS, Dials, preset_dials
from workbench.plan import Plan
from workbench.session import LIVE_DIALS, LIVE_PLAN
from workbench.widgets.controls import Control, controls_for

DIALS = ("informativeness", "hardness", "redundancy", "synergy", "noise", "lag", "idiosyncrasy", "names")

SIZE = ("hidden_size", "layers", "dropout")
"""Settings of a method that come first."""

FRONT = ("rate", "alpha", "strength", "weight")
"""What a rule's first number is called."""

GROUPS = {"data": "dials of the data", "config": "settings of the method", "plan": "settings of the training", "balance": "settings of the rule"}


class Choices:
    """The controls, and what they say.

    Args:
        opening: `data`, `method`, `balance` and `seed` as they stand at first.
        given: `config`, `plan` and `balance` -> values that hold instead of published and default ones.
        options: of `load`, as given.
        moved: called with the name of what somebody moved (`data`, `plan.learning_rate`, ...), and whether a running training can take it up.
    """

    def __init__(
        self, opening: Mapping[str, Any], given: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any], moved: Callable[[str, bool], None]
    ) -> None:
        self.opening, self.moved = dict(opening), moved
        self.first = (dict(given), dict(options))
        self.given, self.given_options = {group: dict(values) for group, values in given.items()}, dict(options)
        self.groups: dict[str, dict[str, Control]] = {}
        self.boxes = {name: ip.VBox() for name in GROUPS}
        self.front = ip.HBox()
        self._is_quiet = False
        self._make()
        for group in GROUPS:
            self._make_group(group)

    def _make(self) -> None:
        """Data, method, rule, seed."""
        told = {"style": {"description_width": "initial"}}
        names = data_names()
        names += [] if self.opening["data"] in names else [self.opening["data"]]
        rules = ["none", *balancing.RULES]
        self.data = ip.Dropdown(options=names, value=self.opening["data"], description="data", layout={"width": "230px"}, **told)
        self.method = ip.Dropdown(
            options=list(methods.METHODS), value=self.opening["method"], description="method", layout={"width": "250px"}, **told
        )
        self.balance = ip.Dropdown(options=rules, value=self.opening["balance"], description="balance", layout={"width": "220px"}, **told)
        self.balance.tooltip = "balancing rule (live: may be switched while it trains)"
        self.seed = ip.BoundedIntText(value=self.opening["seed"], min=0, max=2**31 - 1, description="seed", layout={"width": "120px"}, **told)
        chosen = {"data": self._data_chosen, "method": self._method_chosen, "balance": self._rule_chosen, "seed": lambda: self.moved("seed", False)}
        for name, action in chosen.items():
            self.named[name].add_class(f"wb-{name}")
            self.named[name].observe(lambda change, action=action: None if self._is_quiet else action(), names="value")

    @property
    def named(self) -> dict[str, ip.Widget]:
        """What is always seen, by name."""
        return {"data": self.data, "method": self.method, "balance": self.balance, "seed": self.seed}

    def _make_group(self, group: str) -> None:
        """The controls of one schema, with the values that hold for this method and data set."""
        published = methods.preset_for(self.method.value, self.data.value)
        if group == "data":
            self.groups[group] = self._dial_controls() if is_simulated(self.data.value) else {}
        elif group == "plan":
            values = published.plan if published else {}
            self._make_settings(group, Plan, values, live=LIVE_PLAN, without=("seed", "device", "stages", "rates"))
        elif group == "config":
            self._make_settings(group, methods.method(self.method.value).Config, published.config if published else {})
        elif self.balance.value == "none":
            self.groups[group] = {}
        else:
            module = balancing.rule(self.balance.value)
            optimizer = self.groups["plan"]["plan.optimizer"].value if "plan" in self.groups else "adam"
            usual = balancing.usual_settings(self.balance.value, optimizer)
            self._make_settings(group, module.Config, usual, live=tuple(module.Config.model_fields))
        self._arrange()

    def _make_settings(
        self, group: str, schema: Any, values: Mapping[str, Any], *, live: tuple[str, ...] = (), without: tuple[str, ...] = ()
    ) -> None:
        known = {key: value for key, value in {**values, **self.given[group]}.items() if key in schema.model_fields}
        self.groups[group] = controls_for(schema, known, group=group, live=live, changed=self._control_moved, without=without)

    def _dial_controls(self) -> dict[str, Control]:
        """A slider for every dial, one a modality where it has one a modality."""
        given = {key: value for key, value in self.given_options.items() if key in Dials.model_fields}
        preset = preset_dials(self.data.value.partition("/")[2] or "balanced", **given)
        found = {}
        for name in DIALS:
            field, value = Dials.model_fields[name], getattr(preset, name)
            if hasattr(value, "model_fields_set"):
                for modality, part in type(value).model_fields.items():
                    key = f"data.{name}.{modality}"
                    found[key] = Control(key, part, value[modality], is_live=False, changed=self._control_moved)
                    found[key].widget.description = f"{name} {modality}"
            else:
                found[f"data.{name}"] = Control(f"data.{name}", field, value, is_live=name in LIVE_DIALS, changed=self._control_moved)
        return found

    def _arrange(self) -> None:
        """What is always seen, the learning rate and the rule's first number, and behind it all other settings: those of size first."""
        rates = [control for control in self.groups.get("balance", {}).values() if control.name.endswith(FRONT)]
        front = [control for control in (self.groups.get("plan", {}).get("plan.learning_rate"), *rates[:1]) if control is not None]
        self.front.children = [control.box for control in front]
        empty = {"data": "Real data has no dials.", "balance": "No balancing rule is on, or it has no further setting."}
        for group, box in self.boxes.items():
            rest = [control for control in self.groups.get(group, {}).values() if control not in front]
            rest.sort(key=lambda control: group == "config" and control.name.partition(".")[2] not in SIZE)
            box.children = [control.box for control in rest] or [ip.HTML(empty.get(group, ""))]

    # What is moved

    def _data_chosen(self) -> None:
        self.given_options = {}
        for group in ("data", "plan", "config"):
            self._make_group(group)
        self.moved("data", False)

    def _method_chosen(self) -> None:
        self.given["config"] = {}
        for group in ("config", "plan"):
            self._make_group(group)
        self.moved("method", False)

    def _rule_chosen(self) -> None:
        self.given["balance"] = {}
        self._make_group("balance")
        self.moved("balance", True)

    def _control_moved(self, control: Control) -> None:
        if self._is_quiet:
            return
        if control.name == "plan.optimizer":
            # A rule has other defaults under SGD.
            self._make_group("balance")
        self.moved(control.name, control.is_live)

    # What they say

    def value(self, name: str) -> Any:
        """The value of what is called so: `balance`, `plan.learning_rate`."""
        return self.named[name].value if name in self.named else self.groups[name.partition(".")[0]][name].value

    def options(self) -> dict[str, Any]:
        """Options of `load`: the seed and the dials that were turned."""
        if not is_simulated(self.data.value):
            return dict(self.given_options)
        found: dict[str, Any] = {"seed": self.seed.value, **self.given_options}
        for name, control in self.groups["data"].items():
            _, dial, *modality = name.split(".")
            if control.is_changed and modality:
                before = found.get(dial) or {}
                found[dial] = {**before, modality[0]: control.value}
            elif control.is_changed:
                found[dial] = control.value
        return found

    def settings(self) -> dict[str, Any]:
        """Arguments of `fit`, without those that stand where nobody touched them."""
        said = {group: self._changed(group) for group in ("config", "plan", "balance")}
        plan = {"seed": self.seed.value, **said["plan"]}
        return {"balance": self.balance.value, "config": said["config"], "balance_config": said["balance"], "plan": plan}

    def _changed(self, group: str) -> dict[str, Any]:
        found = {name.partition(".")[2]: control.value for name, control in self.groups[group].items() if control.is_changed}
        return {**self.given[group], **found}

    def show(self, name: str, value: Any) -> None:
        """Lets a control say what holds now; nobody is told."""
        self._is_quiet = True
        if name == "balance":
            self.balance.value = value or "none"
            self._make_group("balance")
        elif name in self.groups.get(name.partition(".")[0], {}):
            self.groups[name.partition(".")[0]][name].show(value)
        self._is_quiet = False

    def reset(self) -> None:
        """Back to how it opened."""
        self._is_quiet = True
        given, options = self.first
        self.given, self.given_options = {group: dict(values) for group, values in given.items()}, dict(options)
        for name, value in self.opening.items():
            self.named[name].value = value
        for group in GROUPS:
            self._make_group(group)
        self._is_quiet = False


def data_names() -> list[str]:
    """What can be trained on here: the presets of the simulator, and the data sets whose files are on this machine."""
    real = [name for name in cards() if name != "opinions" and available(name)]
    return [*(f"opinions/{preset}" for preset in PRESETS), *real]
