"""Other views of a data set, as options of `load` on any of them.

Fewer modalities, aligned steps, missing modalities or frames, noisy labels, fewer groups.

load("mosi", drop={"audio": 0.3}, view_seed=1)          # the voice of every third sample is missing, in all splits
load("opinions/balanced", align_to="text")              # voice and face averaged over each word
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from torch import Tensor

from workbench.data.alignment_view import align_to
from workbench.data.batch import UNKNOWN, Dataset, Split
from workbench.data.card import SplitName
from workbench.data.scaling import after, from_plain, plain, scales, with_scales
from workbench.errors import ConfigError, unknown

Share = Annotated[float, Field(ge=0, le=1)]
Rates = Share | dict[str, Share]


class View(BaseModel):
    """What is changed about a data set after reading it. The order of the fields is the order of the changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    align_to: str = Field("", description="average every sequence over the steps of this modality; empty: as the data is")
    modalities: list[str] = Field([], description="only these modalities, in the card's order; empty: all")
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
        # Of a number or numbers by name, pydantic tells the fault of each branch.
        said = "a rate is 0 to 1, one for all modalities or one for each name" if key in ("drop", "drop_frames") else problem["msg"]
        what = f"{key}={asked.get(key)!r} will not do: {said}"
        raise ConfigError(what, expected=f"{key}: {View.model_fields[key].description}") from None
    return view, {key: value for key, value in options.items() if key not in asked}


def apply(view: View, data: Dataset) -> Dataset:
    """The data set as the view has it; `notes["view"]` says what was asked.

    Missing steps keep their place in time: their values are zero in a batch and its mask is False there. Of two or more modalities, a sample that
    would lose everything keeps one whole, drawn at random among those that are not to go altogether. All draws depend on the seed, the split and
    the modality only. Where training groups are left out, features are scaled and words known by the groups that are kept.

    Raises:
        ConfigError: a modality that the data does not have.
    """
    if view.align_to:
        data = align_to(data, view.align_to)
    if view.modalities:
        data = data.select(*view.modalities)
    if view.keep_groups < 1:
        data = _keep_groups(data, view)
    if view.label_noise:
        data = _with_noise(data, view)
    whole, steps = _rates(data, "drop", view.drop), _rates(data, "drop_frames", view.drop_frames)
    if any(whole.values()) or any(steps.values()):
        splits = {name: _dropped(split, whole, steps, view) if name in view.drop_in else split for name, split in data.splits.items()}
        # The best that anyone could do is not known any more.
        data = replace(data, splits=splits, ceiling={} if "test" in view.drop_in else data.ceiling)
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
    data = replace(data, splits={**data.splits, "train": train.take([i for i, group in enumerate(groups) if group in kept])})
    named = [name for name in data.notes.get("standardised", ()) if name in data.modalities]
    found, before = scales(data, named), from_plain(data.notes.get("scales", {}))
    # From the data as on disk to what the model sees there are now two scales; a run needs to know the way from one to the other.
    whole = plain({name: after(before[name], scale) for name, scale in found.items() if name in before})
    notes = {**data.notes, "scales": {**data.notes["scales"], **whole}} if whole else data.notes
    return _with_known_words(replace(with_scales(data, found), notes=notes))


def _with_known_words(data: Dataset) -> Dataset:
    """Words that stand in no training sentence become UNKNOWN everywhere; a pretrained model knows its own."""
    for name, spec in data.spec.modalities.items():
        if spec.kind == "tokens" and not spec.text_model:
            is_known = torch.zeros(spec.size, dtype=torch.bool)
            is_known[data.splits["train"].columns[name].values] = True
            columns = {}
            for key, split in data.splits.items():
                column = split.columns[name]
                values = torch.where(is_known[column.values], column.values, UNKNOWN)
                columns[key] = replace(column, values=values, digest="", map=None)
            data = data.replace_modality(name, spec, columns)
            left_out = [word for word, known in list(zip(spec.vocabulary, is_known.tolist(), strict=False))[UNKNOWN + 1 :] if not known]
            data = replace(data, notes={**data.notes, "left_out_words": {**data.notes.get("left_out_words", {}), name: left_out}})
    return data


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
    present = {}
    for name, column in split.columns.items():
        is_away = torch.rand(len(split), generator=_generator(view, split.name, name)) < whole[name]
        is_lost = torch.rand(int(column.offsets[-1]), generator=_generator(view, split.name, name, "steps")) < steps[name]
        there = ~(is_lost | is_away.repeat_interleave(column.lengths))
        present[name] = there if column.present is None else there & column.present
    stays = [name for name in present if whole[name] < 1 and steps[name] < 1]
    if len(present) > 1 and stays:
        _keep_one(split, present, stays, _generator(view, split.name, "kept"))
    columns = {
        name: column if bool(present[name].all()) else replace(column, present=present[name], digest="") for name, column in split.columns.items()
    }
    return replace(split, columns=columns)


def _keep_one(split: Split, present: dict[str, Tensor], stays: list[str], generator: torch.Generator) -> None:
    """Gives one of some modalities back to each sample that lost everything."""
    rows = {name: torch.arange(len(split)).repeat_interleave(column.lengths) for name, column in split.columns.items()}
    has_something = torch.zeros(len(split), dtype=torch.bool)
    for name, there in present.items():
        has_something[rows[name][there]] = True
    back = torch.randint(0, len(stays), (len(split),), generator=generator)
    for i, name in enumerate(stays):
        given = (~has_something & (back == i))[rows[name]]
        before = split.columns[name].present
        present[name] |= given if before is None else given & before
