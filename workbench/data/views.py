"""Other views of a data set, as options of `load` on any of them.

Fewer modalities, aligned steps, missing modalities or frames, noisy labels, fewer groups.

load("mosi", drop={"audio": 0.3}, view_seed=1)          # the voice of every third sample is missing, in all splits
load("opinions/balanced", align_to="text")              # voice and face averaged over each word
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from torch import Tensor

from workbench.data.alignment_view import align_to
from workbench.data.batch import Dataset, Split
from workbench.errors import ConfigError, unknown

Share = Annotated[float, Field(ge=0, le=1)]
Rates = Share | dict[str, Share]
SplitName = Literal["train", "valid", "test"]


class View(BaseModel):
    """What is changed about a data set after reading it. The order of the fields is the order of the changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    modalities: list[str] = Field([], description="only these modalities, in the card's order; empty: all")
    align_to: str = Field("", description="average every sequence over the steps of this modality; empty: as the data is")
    keep_groups: float = Field(1.0, gt=0, le=1, description="share of the training groups (videos, speakers; samples where unknown) that is kept")
    label_noise: Share = Field(0.0, description="share of the training labels that are replaced by chance; valid and test stay true")
    drop: Rates = Field(0.0, description="rate at which a whole modality is missing, for all or by name")
    drop_frames: Rates = Field(0.0, description="rate at which single steps are missing, for all or by name")
    drop_in: list[SplitName] = Field(["train", "valid", "test"], description="splits in which modalities and steps are missing")
    view_seed: int = Field(0, ge=0, lt=2**31, description="seed of all of this")

    @field_validator("modalities", "drop_in", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def take_options(options: Mapping[str, Any]) -> tuple[View, dict[str, Any]]:
    """The view that some options of `load` ask for, and the other options.

    Raises:
        ConfigError: a value out of bounds.
    """
    asked = {key: value for key, value in options.items() if key in View.model_fields}
    try:
        view = View(**asked)
    except ValidationError as error:
        problem = error.errors()[0]
        key = str(problem["loc"][0])
        what = f"{key}={asked.get(key)!r} will not do: {problem['msg']}"
        raise ConfigError(what, expected=f"{key}: {View.model_fields[key].description}") from None
    return view, {key: value for key, value in options.items() if key not in asked}


def apply(view: View, data: Dataset) -> Dataset:
    """The data set as the view has it; `notes["view"]` says what was asked.

    Missing steps keep their place in time: their values are zero in a batch and its mask is False there. A sample that loses all its
    modalities keeps one, drawn at random. All draws depend on the seed, the split and the modality only.

    Raises:
        ConfigError: a modality that the data does not have.
    """
    if view.modalities:
        data = data.select(*view.modalities)
    if view.align_to:
        data = align_to(data, view.align_to)
    if view.keep_groups < 1:
        data = _keep_groups(data, view)
    if view.label_noise:
        data = _with_noise(data, view)
    whole, steps = _rates(data, "drop", view.drop), _rates(data, "drop_frames", view.drop_frames)
    if any(whole.values()) or any(steps.values()):
        splits = {name: _dropped(split, whole, steps, view) if name in view.drop_in else split for name, split in data.splits.items()}
        data = replace(data, splits=splits)
    asked = view.model_dump(exclude_defaults=True)
    return replace(data, notes={**data.notes, "view": asked}) if asked else data


def _rates(data: Dataset, option: str, rates: Rates) -> dict[str, float]:
    """The rate of each modality."""
    if not isinstance(rates, dict):
        return dict.fromkeys(data.modalities, rates)
    for name in rates:
        if name not in data.modalities:
            raise unknown(f"modality in {option}", name, data.modalities)
    return {name: rates.get(name, 0.0) for name in data.modalities}


def _generator(view: View, *what: str) -> torch.Generator:
    """Randomness of its own for each split and modality, so that one choice does not shift another."""
    import hashlib

    digest = hashlib.sha256("/".join([str(view.view_seed), *what]).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _keep_groups(data: Dataset, view: View) -> Dataset:
    train = data.splits["train"]
    groups = train.groups or train.ids
    names = sorted(set(groups))
    count = max(1, round(view.keep_groups * len(names)))
    order = torch.randperm(len(names), generator=_generator(view, "groups"))[:count]
    kept = {names[i] for i in order.tolist()}
    return replace(data, splits={**data.splits, "train": train.take([i for i, group in enumerate(groups) if group in kept])})


def _with_noise(data: Dataset, view: View) -> Dataset:
    """Training labels replaced: by another class, by the other of 0 and 1, or (regression) by the label of another training sample."""
    train, task = data.splits["train"], data.spec.task
    generator, target = _generator(view, "labels"), train.target.clone()
    is_hit = torch.rand(target.shape, generator=generator) < view.label_noise
    if task.kind == "multilabel":
        target = torch.where(is_hit, 1 - target, target)
    elif task.kind == "multiclass":
        others = (target + torch.randint(1, len(task.classes), target.shape, generator=generator)) % len(task.classes)
        target = torch.where(is_hit, others, target)
    elif len(target) > 1:
        shift = torch.randint(1, len(target), target.shape, generator=generator)
        target = torch.where(is_hit, target[(torch.arange(len(target)) + shift) % len(target)], target)
    return replace(data, splits={**data.splits, "train": replace(train, target=target)})


def _dropped(split: Split, whole: dict[str, float], steps: dict[str, float], view: View) -> Split:
    """The split with whole modalities and single steps missing."""
    is_away = {name: torch.rand(len(split), generator=_generator(view, split.name, name)) < rate for name, rate in whole.items()}
    _keep_one(is_away, _generator(view, split.name, "kept"))
    columns = {}
    for name, column in split.columns.items():
        lost = torch.rand(int(column.offsets[-1]), generator=_generator(view, split.name, name, "steps")) < steps[name]
        present = ~(lost | is_away[name].repeat_interleave(column.lengths))
        before = present if column.present is None else present & column.present
        columns[name] = column if bool(before.all()) else replace(column, present=before, digest="")
    return replace(split, columns=columns)


def _keep_one(is_away: dict[str, Tensor], generator: torch.Generator) -> None:
    """Gives one modality back to each sample that lost all of them, where not all were to go."""
    names = [name for name in is_away if not bool(is_away[name].all())]
    if len(is_away) < 2 or not names:
        return
    has_none = torch.stack(list(is_away.values())).all(0)
    back = torch.randint(0, len(names), has_none.shape, generator=generator)
    for i, name in enumerate(names):
        is_away[name] &= ~(has_none & (back == i))
