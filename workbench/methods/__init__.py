"""One file per paper, one per family of the survey talk.

A method of a paper is a module with `Config`, `build(config, spec)`, `FAMILY`, `PRESETS`, `BALANCE` and a docstring that is its reference. A strategy
of a family, `family.strategy`, is an entry of that module's `STRATEGIES`. `method(name)` gives both as a `Method`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.data.batch import Dataset, Spec
from workbench.errors import ConfigError, near, unknown
from workbench.model import FusionModel
from workbench.stages import Stage
from workbench.surroundings import RANDOM

FAMILIES = {
    "encoder_decoder": ("raw", "hierarchical", "decision"),
    "attention": ("intra", "cross", "transformer"),
    "graph": ("modalities", "samples", "fused"),
    "generative": ("cvae", "diffusion"),
    "constraint": ("dcca", "contrastive", "cmd", "orthogonal", "tensor", "low_rank"),
}
"""The five families of the survey talk and their strategies; `family.strategy` names a method."""

PAPERS = ("lf_dnn", "lf_lstm", "ef_lstm", "tfn", "lmf", "mfn", "graph_mfn", "mult", "misa", "mag_bert", "self_mm", "mmim")
PAPERS += ("awf", "mldfa", "mmiln", "delta_attention")
"""Methods of papers, each in the module of its name."""

METHODS = {name: f"workbench.methods.{name}" for name in PAPERS} | {
    f"{family}.{strategy}": f"workbench.methods.families.{family}" for family, strategies in FAMILIES.items() for strategy in strategies
}
"""Name of each method and its module."""


class TextConfig(BaseModel):
    """The settings that every method shares: how sentences enter."""

    model_config = ConfigDict(extra="forbid")

    text: Literal["embedding", "frozen", "fine_tuned"] = Field(
        "embedding", description="text as the data has it, or through a pretrained model: frozen (cached features) or fine-tuned"
    )
    text_model: str = Field("minilm", description="pretrained text model: minilm (packaged), a Hugging Face name, or a folder")
    embedding_size: int = Field(64, ge=1, le=4096, description="width of the token embedding (text=embedding)")


@dataclass(frozen=True)
class Preset:
    """A paper's settings for one data set: values of the method's Config and of the training Plan."""

    config: dict[str, Any]
    plan: dict[str, Any]
    source: str

    def suited(self, data: Dataset) -> "Preset | None":
        """The preset as the data can have it: without values for modalities that it lacks; None where it reads sentences and there are none."""
        if self.config.get("text", "embedding") != "embedding" and "text" in data.modalities and not data.has_sentences:
            return None
        lacking = set(PRESET_MODALITIES).difference(data.modalities)
        config = {key: _without(value, lacking) if isinstance(value, dict) else value for key, value in self.config.items()}
        plan = {**self.plan, **{key: _without(self.plan[key], lacking) for key in ("rates", "stages") if key in self.plan}}
        return Preset(config, plan, self.source)


PRESET_MODALITIES = ("text", "audio", "vision")
"""The modalities that published settings speak of."""


def _without(values: dict[str, Any], lacking: set[str]) -> dict[str, Any]:
    """Values by modality or by part of the model (`encoders.vision`), without those of some modalities."""
    return {key: value for key, value in values.items() if lacking.isdisjoint(key.split("."))}


@dataclass(frozen=True)
class Method:
    """A fusion method: what the registry knows of it.

    Args:
        reference: its docstring: source, equations, departures.
        family: the family of the survey talk that it belongs to.
        Config: its settings, a pydantic model that extends `TextConfig`.
        build: `(config, spec) -> FusionModel`.
        PRESETS: published settings by data set family.
        BALANCE: the balancing rule that belongs to it, or None.
        NEEDS: what it cannot do without, in words; empty: two modalities of any kind will do.
        RANGES: published sweeps: where they are printed -> setting -> its values (`plan.learning_rate` is the plan's).
        stages: `(config, spec) -> ` the stages that its paper trains one after the other; none: it is trained all at once. A method that has some
            has a setting `joint`: None (in stages, but all at once where a balancing rule needs modalities that learn together), True or False.
    """

    reference: str
    family: str
    Config: type[TextConfig]
    build: Callable[[Any, Spec], FusionModel]
    PRESETS: dict[str, Preset] = field(default_factory=dict)
    BALANCE: str | None = None
    NEEDS: str = ""
    RANGES: dict[str, dict[str, list[Any]]] = field(default_factory=dict)
    stages: Callable[[Any, Spec], tuple[Stage, ...]] = lambda config, spec: ()


def method(name: str) -> Method:
    """A method by name.

    Raises:
        ConfigError: no method has this name; the near ones are named.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS, do="workbench list methods")
    module = import_module(METHODS[name])
    _family, _, strategy = name.partition(".")
    if strategy:
        return module.STRATEGIES[strategy]
    said = {key: getattr(module, key) for key in ("FAMILY", "Config", "build", "PRESETS", "BALANCE")}
    optional = {key: getattr(module, key) for key in ("NEEDS", "RANGES", "stages") if hasattr(module, key)}
    return Method(reference=module.__doc__ or "", family=said.pop("FAMILY"), **said, **optional)


def at_least_two(spec: Spec, *, owner: str) -> None:
    """A method that relates modalities to each other needs two of them.

    Raises:
        ConfigError: there is one.
    """
    if len(spec.modalities) < 2:
        raise ConfigError(
            f"{owner} needs two modalities or more, and there is one: {', '.join(spec.modalities)}", do="take lf_dnn or lf_lstm for one modality"
        )


def reference(name: str) -> str:
    """First line of the method's docstring."""
    return method(name).reference.strip().splitlines()[0]


def checked(schema: type[BaseModel], values: dict[str, Any], *, owner: str) -> Any:
    """The values as a validated record of the schema.

    Raises:
        ConfigError: an unknown key (with near names) or a value out of bounds.
    """
    try:
        return schema(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"]) or "?"
        if problem["type"] == "extra_forbidden":
            what = f'{owner} has no setting "{key}".{near(key, schema.model_fields)}'
            raise ConfigError(what, expected=f"one of {', '.join(schema.model_fields)}") from error
        # What is wrong may lie inside a dict or a list: the description is that of the whole setting.
        setting = str(problem["loc"][0]) if problem["loc"] else "?"
        field = schema.model_fields.get(setting)
        hint = f" ({field.description})" if field is not None and field.description else ""
        raise ConfigError(f"{owner}: {key}={problem.get('input')!r} will not do: {problem['msg']}", expected=f"{setting}{hint}") from error


def preset_for(name: str, dataset: str) -> Preset | None:
    """The paper's settings for a data set, by its name or the name before `_` or `/` (`mosi_utterance` takes `mosi`)."""
    presets = method(name).PRESETS
    family = dataset.split("/")[0]
    return presets.get(family) or presets.get(family.split("_")[0])


def chosen_preset(name: str, data: Dataset, preset: str) -> Preset | None:
    """The published settings that were asked for, as the data can have them.

    Args:
        name: the method.
        preset: `default` (those for this data set, where there are any), `none`, or a name of the method's `PRESETS`.

    Raises:
        ConfigError: the method has no preset of this name, or the data cannot have the one that was named.
    """
    known = method(name).PRESETS
    if preset not in ("default", "none", *known):
        raise unknown(f"preset of {name}", preset, ("default", "none", *known), do="workbench list presets")
    found = preset_for(name, data.name) if preset == "default" else known.get(preset)
    suited = found and found.suited(data)
    if suited is None and preset in known:
        what = f"the preset {preset} of {name} reads sentences with a language model, and {data.name} has none"
        raise ConfigError(what, expected="data with sentences", do="take preset=default or preset=none")
    return suited


def build(name: str, config: BaseModel | dict[str, Any], spec: Spec, *, seed: int = 0) -> FusionModel:
    """A method's model for a data set; its first weights depend on the seed only.

    Raises:
        ConfigError: an unknown method or setting, or data that no model can be built for.
    """
    module = method(name)
    _check_spec(spec)
    config = config if isinstance(config, BaseModel) else checked(module.Config, dict(config), owner=f"method {name}")
    with RANDOM, torch.random.fork_rng(devices=[]):  # weights are made on the CPU
        torch.manual_seed(seed)
        return module.build(config, spec)


def _check_spec(spec: Spec) -> None:
    """Modalities can name parts of a model, and there is something to tell apart.

    Raises:
        ConfigError: a name that PyTorch keeps for itself, or a task of a single class.
    """
    for name in spec.modalities:
        if not name or "." in name or hasattr(torch.nn.ModuleDict(), name):
            what = f'a modality cannot be called "{name}": PyTorch uses the name itself' if name else "a modality has no name"
            raise ConfigError(what, expected="a word without a dot, e.g. text, audio, vision", do="rename it in the data or its card")
    if spec.task.kind != "regression" and spec.task.outputs < 2:
        what = f"the task has {spec.task.outputs} class: {', '.join(spec.task.classes)}"
        raise ConfigError(what, expected="two or more", do="a single yes or no is a multiclass task with two classes")


def prepare(data: Dataset, config: BaseModel) -> Dataset:
    """The data as the method's Config wants its sentences."""
    from workbench.text import prepare_text

    return prepare_text(data, text=config.text, text_model=config.text_model)
