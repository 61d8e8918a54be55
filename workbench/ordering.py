"""What is to be trained, from names and values: every one checked, completed by published settings, and settled before anything is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import __version__, methods
from workbench import balance as balancing
from workbench.data.batch import Dataset
from workbench.errors import ConfigError
from workbench.plan import Plan, check_stages, completed
from workbench.recording import fingerprint
from workbench.runs import Run
from workbench.stages import WHOLE, Stage
from workbench.starting import Start, start_from


@dataclass(frozen=True)
class Order:
    """What is to be trained, every value settled.

    Args:
        method, config: the method and its validated settings.
        balance, balance_config: the rule (None: none) and its validated settings.
        plan: how to train.
        variant: the name in tables; `lf_dnn + b_fusion` where none is given.
        preset: source of the published settings that it starts from; empty: none.
        stages: the stages that are trained, in order; a method without any has `WHOLE`.
        known: all its stages.
        start: where the stages that are not trained come from.
    """

    method: str
    config: Any
    balance: str | None
    balance_config: dict[str, Any]
    plan: Plan
    variant: str
    preset: str = ""
    stages: tuple[Stage, ...] = (WHOLE,)
    known: tuple[Stage, ...] = (WHOLE,)
    start: Start | None = None

    def identity(self, data: Dataset) -> dict[str, Any]:
        """Everything that the numbers depend on; equal identities are the same run."""
        return {
            "method": self.method,
            "config": self.config.model_dump(),
            "dataset": data.name,
            "fingerprint": fingerprint(data),
            "modalities": list(data.modalities),
            "balance": self.balance,
            "balance_config": self.balance_config,
            "plan": self.plan.values(exclude={"device"}),
            "workbench": __version__,
            **({"start": self.start.identity([stage.name for stage in self.stages])} if self.start else {}),
        }


def order(
    method: str,
    data: Dataset,
    *,
    config: Mapping[str, Any] | None = None,
    balance: str | None = "default",
    balance_config: Mapping[str, Any] | None = None,
    plan: Mapping[str, Any] | Plan | None = None,
    preset: str = "default",
    variant: str | None = None,
    stages: Sequence[str] | None = None,
    start: str | Path | Run | None = None,
) -> Order:
    """Names and values, checked and completed by the paper's preset for the data set.

    Args:
        data: what it is trained on.
        balance: a rule, `none`, or `default` (the rule that belongs to the method, if any).
        preset: published settings to start from, as far as the data can have them (`Preset.suited`): `default` (those for this data set, if any),
            `none`, or the name of one of the method's (`workbench list presets`); given values win.
        stages: of a method that is trained stage by stage, those that are trained now; the others come from `start`. None: all of them.
        start: a finished run of the same method and data (or its folder), whose weights the other stages bring.

    Raises:
        ConfigError: an unknown method, rule, stage or setting (near names are given), a value out of bounds, or a run that cannot be started from.
    """
    module = methods.method(method)
    published = methods.chosen_preset(method, data, preset)
    rule = module.BALANCE if balance == "default" else None if balance == "none" else balance
    checked = methods.checked(module.Config, {**(published.config if published else {}), **(config or {})}, owner=f"method {method}")
    if rule:
        checked = _together(checked, method, rule)
    known = tuple(module.stages(checked, data.spec))
    if not isinstance(plan, Plan):
        plan = methods.checked(Plan, completed(plan or {}, published.plan if published else {}, known), owner="the training plan")
    check_stages(plan, known, method=method)
    rule_config: dict[str, Any] = {}
    if rule:
        usual = balancing.usual_settings(rule, plan.optimizer)
        rule_config = methods.checked(balancing.rule(rule).Config, {**usual, **(balance_config or {})}, owner=f"rule {rule}").model_dump()
    name = variant or (
        f"{method} + {rule}" if rule and rule != module.BALANCE else f"{method} - {module.BALANCE}" if module.BALANCE and not rule else method
    )
    trained, start = start_from(known, stages, start, method=method, data=data)
    source = published.source if published else ""
    return Order(method, checked, rule, rule_config, plan, name, source, trained or (WHOLE,), known or (WHOLE,), start)


def _together(config: Any, method: str, rule: str) -> Any:
    """The settings with all parts trained at once, where a method has a choice: a rule balances modalities that learn together.

    Raises:
        ConfigError: stages were asked for.
    """
    if getattr(config, "joint", True) is True:
        return config
    if config.joint is False:
        what = f"the rule {rule} balances modalities that learn together, and {method} was asked to train them one after the other"
        raise ConfigError(what, do="set joint=true, or take balance=none")
    return config.model_copy(update={"joint": True})
