"""The dials of the simulator `opinions`, and its presets.

Each dial is one number (or one number a modality) with bounds, so that one schema validates notebook parameters, draws the controls of
the imbalance dial and bounds a sweep. What each dial does to the data is written in `workbench.data.simulator.synthetic`.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workbench.errors import ConfigError, unknown

MODALITIES = ("text", "audio", "vision")

MOST_NAMES = 2000
"""Names that the grammar can make."""

Share = Annotated[float, Field(ge=0, le=1)]


class ByModality(BaseModel):
    """One share (0 to 1) for each modality."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: Share = Field(0.0, description="value for the text")
    audio: Share = Field(0.0, description="value for the audio")
    vision: Share = Field(0.0, description="value for the vision")

    def __getitem__(self, modality: str) -> float:
        return getattr(self, modality)


def _each(value: float) -> ByModality:
    return ByModality(text=value, audio=value, vision=value)


class Dials(BaseModel):
    """Everything that can be turned in `opinions`; see `workbench.data.simulator.synthetic` for the model behind it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Literal["sentiment", "emotions"] = Field(
        "sentiment", description="what is asked of the same samples: the score, or which of six emotions are present"
    )
    informativeness: ByModality = Field(_each(0.8), description="probability that a modality shows a cue of its own sample, one cue at a time")
    redundancy: Share = Field(0.3, description="share of the score's variance that comes from the cue which all modalities show")
    synergy: Share = Field(0.2, description="twice the probability of sarcasm: at 1 the text's own cue says nothing without the voice")
    noise: Share = Field(0.05, description="probability that a shown cue is drawn anew at random; at 1 nothing shown means anything")
    lag: float = Field(0.2, ge=0, le=2, description="how far voice and face are shifted against the words [s]")
    idiosyncrasy: float = Field(0.0, ge=0, le=5, description="spread of the speakers' constant offsets, in what one level adds to a mean over time")
    hardness: ByModality = Field(_each(0.0), description="how slowly a modality's cue is learned, with the information unchanged")
    missing: ByModality = Field(_each(0.0), description="rate at which a modality (or its frames, or its words) is missing")
    missing_kind: Literal["modality", "frames"] = Field("modality", description="what is missing: the whole modality, or single frames and words")
    names: int = Field(60, ge=2, le=MOST_NAMES, description="how many names of films and people there are; more names are easier to memorise")
    speakers: int = Field(40, ge=1, le=5000, description="speakers in each split; no speaker is in two splits")
    train: int = Field(800, ge=1, le=1_000_000, description="samples in the train split")
    valid: int = Field(400, ge=1, le=1_000_000, description="samples in the valid split")
    test: int = Field(1000, ge=1, le=1_000_000, description="samples in the test split")


PRESETS: dict[str, Dials] = {
    "balanced": Dials(),
    # Found by a search over the dials with lf_dnn and its plan for opinions (Adam 2e-3, batch 32, patience 20): the joint model does no better
    # than its
    # best single modality, far below the ceiling, and B-fusion recovers it. Audio and vision know as much as the text, at 1/79 of its scale.
    "starved": Dials(
        informativeness=ByModality(text=0.9, audio=0.95, vision=0.8),
        redundancy=0.6,
        synergy=0.0,
        noise=0.02,
        hardness=ByModality(text=0.0, audio=0.95, vision=0.95),
    ),
    "redundant": Dials(redundancy=0.95, synergy=0.0),
    "synergy": Dials(informativeness=_each(0.95), redundancy=0.0, synergy=1.0, noise=0.0),
    "noisy": Dials(informativeness=_each(0.9), noise=0.4, idiosyncrasy=1.0),
    "emotions": Dials(task="emotions"),
}


def preset_dials(preset: str = "balanced", **changes: object) -> Dials:
    """The dials of a preset with some of them turned; of a dial by modality only the modalities named change.

    Raises:
        ConfigError: a preset, dial or modality that nobody knows, or a value out of bounds.
    """
    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    values = PRESETS[preset].model_dump()
    for name, value in changes.items():
        if name not in values:
            raise unknown("dial", name, values)
        values[name] = _merged(name, values[name], value)
    try:
        return Dials.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ", ".join(str(part) for part in first["loc"])
        raise ConfigError(f"dial {place} cannot be {first['input']!r}", where=f"opinions/{preset}", expected=first["msg"]) from error


def _merged(name: str, old: object, new: object) -> object:
    """A dial by modality takes only the modalities that are given; any other dial is replaced."""
    if not isinstance(old, dict):
        return new
    if isinstance(new, ByModality):
        return new.model_dump()
    if not isinstance(new, Mapping):
        raise ConfigError(f"dial {name} cannot be {new!r}", expected=f"one number a modality, as in {name}={{'audio': 0.5}}")
    for modality in new:
        if modality not in old:
            raise unknown("modality", str(modality), MODALITIES, do=f"correct the dial {name}")
    return {**old, **new}
