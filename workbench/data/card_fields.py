"""The parts of a card's head: what is predicted, each modality, each file, each published result."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from workbench.data.batch import Kind, TaskSpec


class Fields(BaseModel):
    """Some fields of a head; an unknown one is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskCard(Fields):
    """What is to be predicted: a number in `range`, one of `classes`, or any of them (multilabel); `headline` is the metric that is shown first."""

    kind: Literal["regression", "multiclass", "multilabel"]
    range: tuple[float, float] | None = None
    classes: list[str] = []
    unit: str = ""
    headline: str = ""

    @model_validator(mode="after")
    def _is_complete(self) -> "TaskCard":
        if self.kind == "regression" and (self.range is None or not self.range[0] < self.range[1] or self.classes):
            raise ValueError("regression needs `range: [low, high]` with low < high, and no `classes:`")
        if self.kind != "regression" and (len(set(self.classes)) < 2 or len(set(self.classes)) < len(self.classes) or self.range):
            raise ValueError(f"{self.kind} needs `classes:` (two or more different names in the order of their labels), and no `range:`")
        if self.headline:
            from workbench.tasks import metrics_of

            if self.headline not in metrics_of(self.spec()):
                raise ValueError(f"`headline: {self.headline}` is no metric of this task; one of {', '.join(metrics_of(self.spec()))}")
        return self

    def spec(self) -> TaskSpec:
        """The task as a builder sees it."""
        low, high = self.range or (0.0, float(len(self.classes) - 1))
        return TaskSpec(self.kind, low, high, tuple(self.classes), self.headline)


class ModalityCard(Fields):
    """One modality.

    `size` is the number of features of a step (tokens: of the vocabulary; images: of channels), null where it is not fixed;
    `rate` is in steps a second; `standardise` asks for training mean 0 and standard deviation 1 of every feature; `also` names kinds that an option
    of the reader gives instead (then size, shape and rate are the reader's).
    """

    kind: Kind
    also: list[Kind] = []
    size: int | None = Field(ge=1)
    shape: list[int] = []
    rate: float | None = Field(default=None, gt=0)
    standardise: bool = False
    description: str

    @model_validator(mode="after")
    def _fits(self) -> "ModalityCard":
        if self.standardise and self.kind == "tokens":
            raise ValueError("tokens are names, not amounts: `standardise: true` is for vectors, sequences and images")
        if (self.kind == "image") != (len(self.shape) == 3):
            raise ValueError("`shape: [channel, height, width]` is for images, and images need it")
        return self


class SourceCard(Fields):
    """One file: its place below the data root (and below a mirror), where it comes from, and its sum.

    `role` says which file it is to the reader; `variant` that only this variant of the data set has it; `published_sha256` are sums, or their
    beginnings, that the makers published: a file with another sum is read, and `data check` says so.
    """

    path: str
    role: str = ""
    variant: str = ""
    published_sha256: list[Annotated[str, Field(pattern=r"^[0-9a-f]{6,64}$")]] = []
    url: str | None = Field(default=None, pattern=r"^https?://")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    bytes: int | None = Field(default=None, ge=0)

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        pure = PurePosixPath(path)
        if not path or pure.is_absolute() or ".." in pure.parts or "\\" in path or ":" in path:
            raise ValueError("a path below the data root, with forward slashes and without `..`")
        return path

    @model_validator(mode="after")
    def _is_checked(self) -> "SourceCard":
        if self.url and not self.sha256:
            raise ValueError("a file that is downloaded needs its `sha256:`")
        return self


class SourceList(Fields):
    """Many files at once: a file beside the card with a line `sha256  path` for each; `url` is the folder that they come from."""

    file: str = Field(pattern=r"^[\w.-]+$")
    url: str = Field(pattern=r"^https?://.*/$")


class PublishedRow(Fields):
    """A published result: `scores` by metric, as a share of one (MAE in the label's unit); `differs` says what is not as here.

    `variant` names the variant of the data set that the result is of; empty: of any.
    """

    method: str
    scores: dict[str, float] = Field(min_length=1)
    split: str
    source: str
    variant: str = ""
    differs: list[str] = []
    note: str = ""

    def differs_from(self, variant: str) -> list[str]:
        """What is not as in a variant of the data set: what `differs` says, and the variant where it is another one."""
        if self.variant in ("", variant):
            return self.differs
        return [*self.differs, "alignment" if {self.variant, variant} == {"aligned", "unaligned"} else "variant"]
