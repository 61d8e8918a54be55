"""How to train: the plan, what it is in single stages, and the optimizer, clipping and device that it asks for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from workbench.errors import ConfigError, unknown
from workbench.methods import checked
from workbench.model import FusionModel
from workbench.ranks import launched, local_place
from workbench.stages import Stage

Rate = Annotated[float, Field(gt=0, le=100)]


class Plan(BaseModel):
    """How to train. Every field may be changed between epochs, except those that shape the optimizer."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    epochs: int = Field(30, ge=1, le=100_000, description="most epochs")
    batch_size: int = Field(64, ge=1, le=65_536, description="samples in a batch")
    learning_rate: float = Field(1e-3, gt=0, le=100, description="rate of all parameters but a pretrained text model's")
    text_learning_rate: float = Field(5e-5, gt=0, le=100, description="rate of a pretrained text model that is fine-tuned")
    rates: dict[str, Rate] = Field({}, description="rates of single parts by the start of their parameters' names, e.g. encoders.audio=5e-3")
    optimizer: Literal["adam", "adamw", "sgd"] = Field("adam", description="optimizer of the networks")
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum (sgd)")
    weight_decay: float = Field(0.0, ge=0, le=10, description="weight decay of matrices; biases are left alone")
    clip_norm: float | None = Field(None, gt=0, description="largest norm of the whole gradient; none: no clipping")
    clip_value: float | None = Field(None, gt=0, description="largest value of a gradient's single number; none: no clipping")
    accumulate: int = Field(1, ge=1, le=10_000, description="batches in one optimizer step")
    patience: int = Field(8, ge=1, le=100_000, description="epochs without a lower valid loss before the training ends")
    loss: Literal["l1", "mse"] = Field("l1", description="loss of a regression")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of first weights, order of samples, and dropout")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, ...")
    precision: Literal["float32", "bf16"] = Field("float32", description="bf16: automatic mixed precision")
    is_deterministic: bool = Field(False, description="refuse operations that give other numbers each time")
    is_bucketed: bool = Field(True, description="batches of samples of similar length (less padding)")
    is_traced: bool = Field(True, description="trace gradients, updates and weights of each step")
    probe_every: int = Field(1, ge=0, le=100_000, description="epochs between linear probes of each modality; 0: never")
    stages: dict[str, dict[str, Any]] = Field({}, description="other values in single stages of a method that has some, e.g. {fusion: {epochs: 5}}")

    @field_validator("stages")
    @classmethod
    def _as_fields(cls, stages: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Values in the form of their fields ("5e-4" is a number), so that equal plans are equal; what will not do is left to `check_stages`."""
        return {name: {key: _as_field(cls(), key, value) for key, value in values.items()} for name, values in stages.items()}

    def values(self, *, exclude: frozenset[str] | set[str] = frozenset()) -> dict[str, Any]:
        """All values, without `stages` where no stage has its own."""
        return self.model_dump(exclude=set(exclude) | (set() if self.stages else {"stages"}))


def _as_field(plan: Plan, key: str, value: Any) -> Any:
    """The value as the plan's field has it, or as it is where the field refuses it."""
    try:
        setattr(plan, key, value)
    except ValidationError:
        return value
    return getattr(plan, key)


def completed(given: Mapping[str, Any], published: Mapping[str, Any], stages: Sequence[Stage]) -> dict[str, Any]:
    """Published values with given ones instead, also in single stages: a value given for all stages, or for a group, holds in each of them.

    Args:
        given, published: values of a Plan.
        stages: those of the method; what was published of others is left out.
    """
    merged = {**published, **given}
    own: Mapping[str, Mapping[str, Any]] = given.get("stages") or {}
    kept = {}
    for name, values in (published.get("stages") or {}).items():
        group = own.get(name.split(".")[0], {})
        kept[name] = {key: value for key, value in values.items() if key not in given and key not in group}
    kept = {name: values for name, values in kept.items() if name in _stage_names(stages)}
    found = {name: {**kept.get(name, {}), **own.get(name, {})} for name in dict.fromkeys([*kept, *own])}
    return {**merged, "stages": {name: values for name, values in found.items() if values}} if found else {**merged, "stages": {}}


def _stage_names(stages: Iterable[Stage]) -> dict[str, None]:
    """Groups and stages, e.g. `unimodal`, `unimodal.text`, in order."""
    return dict.fromkeys(name for stage in stages for name in (stage.name.split(".")[0], stage.name))


def stage_plan(plan: Plan, stage: Stage) -> Plan:
    """The plan with the values that it has for a stage: those for `unimodal`, then those for `unimodal.text`.

    Raises:
        ConfigError: a value that the plan's schema refuses.
    """
    if not plan.stages:
        return plan
    given = {**plan.stages.get(stage.name.split(".")[0], {}), **plan.stages.get(stage.name, {})}
    return checked(Plan, {**plan.model_dump(exclude={"stages"}), **given}, owner=f"stage {stage.name} of the training plan")


WHOLE_TRAINING = ("seed", "device", "stages", "loss", "precision", "is_traced", "is_deterministic")
"""What no stage can have of its own."""


def check_stages(plan: Plan, stages: Sequence[Stage], *, method: str) -> None:
    """The plan speaks of stages that the method has, and of nothing that a stage cannot have of its own.

    Raises:
        ConfigError: an unknown stage, a setting that no stage can have, or one that will not do.
    """
    known = _stage_names(stages)
    for name, values in plan.stages.items():
        if not known:
            what = f"the plan has values for a stage {name}, and here {method} is trained all at once"
            raise ConfigError(what, do="give the values without the stage's name")
        if name not in known:
            raise unknown(f"stage of {method}", name, known)
        for key in WHOLE_TRAINING:
            if key in values:
                raise ConfigError(f"plan.stages.{name}.{key}: {key} is the whole training's", do=f"set plan.{key}")
    for stage in stages:
        stage_plan(plan, stage)


def make_optimizer(model: FusionModel, plan: Plan) -> torch.optim.Optimizer:
    """The optimizer: every trainable parameter in exactly one group, those that the balancing rule moves by itself in none.

    Pretrained text parameters (those of modules with `is_pretrained`) and the parts named in `plan.rates` have their own rate; weight decay is for
    matrices, not for biases and norms.

    Raises:
        ConfigError: a name in `plan.rates` is the start of no parameter's name.
    """
    own = {id(p) for p in model.balance.moved()}
    pretrained = {id(p) for module in model.modules() if getattr(module, "is_pretrained", False) for p in module.parameters()}
    chosen: dict[tuple[str, bool], list[torch.nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad and id(p) not in own:
            part = _part(name, plan) or ("text" if id(p) in pretrained else "")
            chosen.setdefault((part, p.dim() > 1), []).append(p)
    check_parts(model, plan)
    groups = [
        {"params": parameters, "part": part, "weight_decay": plan.weight_decay if is_matrix else 0.0, "lr": _rate(plan, part)}
        for (part, is_matrix), parameters in sorted(chosen.items(), key=lambda item: (item[0][0], not item[0][1]))
    ]
    if plan.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=plan.learning_rate, momentum=plan.momentum)
    kind = torch.optim.Adam if plan.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=plan.learning_rate)


def carried_optimizer(before: torch.optim.Optimizer, model: FusionModel, plan: Plan) -> torch.optim.Optimizer:
    """A new optimizer for the model as it is now; what the one before knew of a parameter that is still there (Adam's moments) is carried over."""
    made = make_optimizer(model, plan)
    made.state.update({p: before.state[p] for group in made.param_groups for p in group["params"] if p in before.state})
    return made


def _part(name: str, plan: Plan) -> str:
    """The longest name in `plan.rates` that a parameter's name begins with; empty where there is none."""
    return max((part for part in plan.rates if name == part or name.startswith(f"{part}.")), key=len, default="")


def check_parts(model: FusionModel, plan: Plan) -> None:
    """Each name in `plan.rates` is the start of some parameter's name.

    Raises:
        ConfigError: one is not; the near ones are named.
    """
    starts = {".".join(name.split(".")[:n]) for name, _ in model.named_parameters() for n in range(1, name.count(".") + 2)}
    for part in plan.rates:
        if part not in starts:
            raise unknown("part of the model", part, sorted(starts))


def set_rates(optimizer: torch.optim.Optimizer, plan: Plan) -> None:
    """The plan's rates as they are now."""
    for group in optimizer.param_groups:
        group["lr"] = _rate(plan, group["part"])


def _rate(plan: Plan, part: str) -> float:
    return plan.rates.get(part, plan.text_learning_rate if part == "text" else plan.learning_rate)


def clip(model: FusionModel, plan: Plan) -> None:
    """Clips the gradients as the plan says; the heads of a balancing rule apart, so that the networks' norm is the networks' alone."""
    own = {id(p) for p in model.balance.parameters()}
    if plan.clip_norm is not None:
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if id(p) not in own], plan.clip_norm)
        if own:
            torch.nn.utils.clip_grad_norm_(model.balance.parameters(), plan.clip_norm)
    if plan.clip_value is not None:
        torch.nn.utils.clip_grad_value_(model.parameters(), plan.clip_value)


def resolve_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one; of several ranks each has its own.

    Raises:
        ConfigError: the device is unknown, or not on this machine, or one for several ranks.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if launched() > 1 and name.startswith("cuda"):
        if name != "cuda":
            raise ConfigError(f"{name} is one device, and {launched()} ranks need one each", do="device=cuda: each rank takes its own")
        name = f"cuda:{local_place()}"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f'unknown device "{name}"', expected="auto, cpu, cuda, cuda:1, ...") from error
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ConfigError(
            f"this machine has no device {name}", expected=f"cpu, or one of {torch.cuda.device_count()} CUDA devices", do="use device=auto"
        )
    return device
