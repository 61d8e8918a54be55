"""Data cards: one Markdown file per data set, its YAML head typed and its data held against it.

A card is read by people (the prose) and by the workbench (the head, between two `---` lines). No card means no data: every data
set that a training sees was read with a card and verified against it (`workbench.data.verify`).
"""

import os
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from workbench.data.batch import TaskSpec
from workbench.data.card_fields import Fields, ModalityCard, PublishedRow, SourceCard, SourceList, TaskCard
from workbench.data.head import read_head
from workbench.errors import ConfigError, DataError, unknown
from workbench.yaml_lines import Lines, field_error, line_of

CARDS = Path(__file__).parents[2] / "data_cards"
"""The cards that come with the workbench; `WORKBENCH_CARDS` names further folders, searched first."""

SplitName = Literal["train", "valid", "test"]


class DataCard(Fields):
    """The typed head of a card. Dict order is the order of the modalities everywhere."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    task: TaskCard
    other_tasks: dict[str, TaskCard] = Field(default_factory=dict)
    modalities: dict[str, ModalityCard] = Field(min_length=1)
    splits: dict[SplitName, Annotated[int, Field(ge=1)] | None]
    format: str
    variants: list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]] = Field(default_factory=list)
    sources: list[SourceCard] = Field(default_factory=list)
    source_list: SourceList | None = None
    obtain: str = ""
    folds: dict[SplitName, list[str]] = Field(default_factory=dict)
    licence: str = Field(min_length=1)
    citation: str = Field(min_length=1)
    published: list[PublishedRow] = Field(default_factory=list)
    traps: list[str] = Field(default_factory=list)

    _path: Path = PrivateAttr(default=Path("card.md"))
    _sha256: str = PrivateAttr(default="")
    _prose: str = PrivateAttr(default="")
    _lines: Lines = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _is_consistent(self) -> "DataCard":
        if not {"train", "valid"} <= set(self.splits):
            raise ValueError("`splits:` needs train and valid: nothing may be chosen on test")
        groups = [group for fold in self.folds.values() for group in fold]
        twice = sorted({group for group in groups if groups.count(group) > 1})
        if twice:
            raise ValueError(f"`folds:` names {twice[0]} twice: a video or speaker belongs to one split")
        strange = sorted({source.variant for source in self.sources} - {"", *self.variants})
        if strange:
            raise ValueError(f"a source names the variant {strange[0]}, which is not among `variants:`")
        strange = sorted({row.variant for row in self.published} - {"", *self.variants})
        if strange:
            raise ValueError(f"a published row names the variant {strange[0]}, which is not among `variants:`")
        return self

    @property
    def path(self) -> Path:
        """Where the card was read."""
        return self._path

    @property
    def sha256(self) -> str:
        """Sum of the card's text, for the run's record."""
        return self._sha256

    @property
    def prose(self) -> str:
        """The part for people, Markdown."""
        return self._prose

    def place(self, *field: str | int) -> str:
        """Where in the card a field stands: `data_cards/mosi.md line 14`."""
        return _place(self._path, self._lines, field)

    def task_of(self, spec: TaskSpec) -> tuple[TaskCard, tuple[str, ...]] | None:
        """The task that some data has, and its place in the head: the card's, or one that an option of the reader asks for; None: neither."""
        known = {("task",): self.task, **{("other_tasks", name): task for name, task in self.other_tasks.items()}}
        return next(((task, place) for place, task in known.items() if task.spec() == spec), None)

    def variant(self, wanted: str = "") -> str:
        """The variant of that name; the first one where none is named; empty where the data set has none.

        Raises:
            ConfigError: there is no such variant.
        """
        if not wanted:
            return self.variants[0] if self.variants else ""
        if wanted not in self.variants:
            raise (
                unknown("variant", wanted, self.variants)
                if self.variants
                else ConfigError(f'{self.name} has no presets, got "{wanted}"', expected=self.name)
            )
        return wanted

    @property
    def can_fetch(self) -> bool:
        """True where every file of the card has an address."""
        return all(source.url for source in self.sources)

    def files(self, variant: str = "") -> list[SourceCard]:
        """The files of a variant (of the first one, where none is named)."""
        return [source for source in self.sources if source.variant in ("", self.variant(variant))]

    def file(self, root: Path, role: str = "", *, variant: str = "") -> Path:
        """Where the file of a role lies.

        Raises:
            DataError: no source of the card has the role.
        """
        for source in self.files(variant):
            if source.role == role:
                return root / source.path
        raise DataError(f"{self.name}: no source has the role {role}", where=self.place("sources"), expected=f"an entry with `role: {role}`")

    def at(self, path: Path, variant: str = "") -> "DataCard":
        """The card with its one file (of a variant) somewhere else: `path`; sums that the card gives still hold.

        Raises:
            ConfigError: the card has no file, or several.
        """
        files = self.files(variant)
        if len(files) != 1:
            listed = ", ".join(source.path for source in files[:4]) or "none"
            raise ConfigError(
                f"path= replaces the one file of a card; {self.name} has {len(files)}", where=listed, do="use root=, and these paths below it"
            )
        moved = self.model_copy(update={"sources": [files[0].model_copy(update={"path": path.name})]})
        moved._path, moved._sha256, moved._prose, moved._lines = self._path, self._sha256, self._prose, self._lines
        return moved

    def published_rows(self, variant: str = "") -> list[dict[str, str | float | bool]]:
        """The published results, one row a method and metric, with `is_comparable`: nothing differs, the variant neither.

        Args:
            variant: of the data set; the first one where none is named.

        Raises:
            ConfigError: there is no such variant.
        """
        wanted = self.variant(variant)
        return [
            {"method": row.method, "metric": metric, "value": value, "split": row.split, "source": row.source}
            | {"differs": ", ".join(row.differs_from(wanted)), "is_comparable": not row.differs_from(wanted), "note": row.note}
            for row in self.published
            for metric, value in row.scores.items()
        ]

    @classmethod
    def load(cls, path: str | Path) -> "DataCard":
        """Reads and checks a card.

        Raises:
            DataError: no file, no head, a duplicate key, a field that is missing, unknown or of a wrong value, no prose.
        """
        path = Path(path)
        head, lines, prose, digest = read_head(path)
        try:
            card = cls.model_validate(head)
        except ValidationError as error:
            raise field_error(error, DataError, place=lambda field: _place(path, lines, field), known_at=_fields_at) from None
        if card.source_list is not None:
            card = card.model_copy(update={"sources": [*card.sources, *_listed(card.source_list, path, lines)]})
        card._path, card._sha256, card._prose, card._lines = path, digest, prose, lines
        return card


def _listed(listed: SourceList, path: Path, lines: Lines) -> list[SourceCard]:
    """The sources of a list of sums."""
    file = path.parent / listed.file
    try:
        rows = [line.split(maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the list of files {listed.file} cannot be read: {error}", where=_place(path, lines, ("source_list", "file"))) from None
    sources = []
    for i, row in enumerate(rows):
        try:
            digest, name = row
            sources.append(SourceCard(path=name, sha256=digest, url=listed.url + PurePosixPath(name).name))
        except (ValueError, ValidationError):
            raise DataError(
                f"{listed.file}: this line is no sum and path", where=f"{file} line {i + 1}", expected="sha256, two spaces, path"
            ) from None
    return sources


def folders() -> list[Path]:
    """Where cards are looked for: the folders in `WORKBENCH_CARDS`, then the workbench's own."""
    own = [Path(folder) for folder in os.environ.get("WORKBENCH_CARDS", "").split(os.pathsep) if folder]
    return [*own, CARDS]


def _files() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.md")):
            if path.stem.lower() != "readme":
                found.setdefault(path.stem, path)
    return found


def cards() -> list[str]:
    """Names of all data sets that have a card."""
    return sorted(_files())


def card(name: str | Path) -> DataCard:
    """The card of a data set by name (`mosi`), by name and preset (`opinions/starved`), or by path (`my/card.md`).

    Raises:
        ConfigError: a name that no card has.
        DataError: the card cannot be read.
    """
    if str(name).endswith(".md"):
        return DataCard.load(name)
    stem, found = str(name).partition("/")[0], _files()
    if stem not in found:
        raise unknown("data set", stem, sorted(found), do="all: workbench list datasets; own data: write a card, see data_cards/README.md")
    loaded = DataCard.load(found[stem])
    if loaded.name != stem:
        raise DataError(f"the card {found[stem].name} calls itself {loaded.name}", where=loaded.place("name"), expected=f"name: {stem}")
    return loaded


def _place(path: Path, lines: Lines, field: tuple[str | int, ...]) -> str:
    """The field's line, or that of the field around it, with the path as a person would say it."""
    return line_of(f"data_cards/{path.name}" if path.parent == CARDS else str(path), lines, field)


def _fields_at(field: tuple[str | int, ...]) -> list[str]:
    """The field names that are known where a field stands."""
    models = {"task": TaskCard, "other_tasks": TaskCard, "modalities": ModalityCard, "sources": SourceCard, "published": PublishedRow}
    model = models.get(str(field[0]), DataCard) if len(field) > 1 else DataCard
    return list(model.model_fields)
