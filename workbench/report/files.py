"""Report files: which notebooks, with which parameters, grids and seeds, under which limits. `reports/mine.yaml`:

title: Three baselines, opened
minutes: 30                           # of each notebook
pages:
  - 00_start_here
  - notebook: 04_baseline
    grid: {method: [lf_dnn, mfn, misa], align_to: [text, ""]}      # a page for each combination
    seeds: 3
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from workbench.errors import ConfigError, unknown
from workbench.report.catalogue import MINUTES, Page, found_notebook, notebook_folder
from workbench.report.parameters import read_defaults
from workbench.yaml_lines import field_error, line_of, read_mapping

SUFFIXES = (".yaml", ".yml")

Seeds = Annotated[int, Field(ge=1)] | Annotated[list[int], Field(min_length=1)] | None


class Entry(BaseModel):
    """A notebook of a report, and the pages that come of it: one for each combination of its grid."""

    model_config = ConfigDict(extra="forbid")

    notebook: str = Field(min_length=1, description="name of a notebook, without .ipynb")
    label: str = Field("", pattern=r"^[\w.=-]*$", description="what tells its page from the notebook's other pages")
    parameters: dict[str, Any] = Field(default_factory=dict, description="values by name, instead of the notebook's defaults")
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict, description="name to values: a page a combination")
    seeds: Seeds = Field(None, description="how many (0, 1, ...), or which; a notebook that takes a single seed becomes a page for each")
    minutes: float | None = Field(None, gt=0, description="time limit [min]; default: the report's")
    memory_gb: float | None = Field(None, gt=0, description="memory limit [GB]; default: the report's")
    about_seconds: float = Field(0, ge=0, description="how long it takes on two cores [s], for order and time left of a first run")

    @model_validator(mode="after")
    def _says_each_value_once(self) -> Self:
        both = sorted(set(self.parameters) & set(self.grid))
        if both:
            raise ValueError(f"{both[0]} stands under parameters and under grid")
        return self


def _as_entry(value: Any) -> Any:
    """`00_start_here` alone is an entry, too."""
    return {"notebook": value} if isinstance(value, str) else value


class ReportFile(BaseModel):
    """A report: title, pages, and what holds for all of them."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field("", description="what it is called; default: the file's name")
    about: str = Field("", description="one sentence for people")
    notebooks: str = Field("", description="folder of the notebooks, seen from the file; default: the workbench's own")
    parameters: dict[str, Any] = Field(default_factory=dict, description="values for every notebook that knows them")
    seeds: Seeds = Field(None, description="for every notebook that takes `seeds`: how many")
    minutes: float = Field(MINUTES, gt=0, description="time limit of each notebook [min]")
    memory_gb: float | None = Field(None, gt=0, description="memory limit of each notebook [GB]; default: 90 % of the machine's")
    pages: list[Annotated[Entry, BeforeValidator(_as_entry)]] = Field(min_length=1)

    def expand(self, folder: Path) -> list[Page]:
        """All pages, in order.

        Raises:
            ConfigError: a notebook is not there, takes no seeds, or two pages have one name.
        """
        pages = [page for entry in self.pages for page in self._pages(entry, folder)]
        names = [page.name for page in pages]
        double = next((name for name in names if names.count(name) > 1), "")
        if double:
            raise ConfigError(f"two pages are called {double}", expected="names that differ", do="give each a `label:` of its own")
        return pages

    def _pages(self, entry: Entry, folder: Path) -> Iterator[Page]:
        """The pages of one entry."""
        defaults = read_defaults(found_notebook(folder, entry.notebook))
        common = {name: value for name, value in self.parameters.items() if name in defaults}
        own = {**common, **entry.parameters}
        fixed, grid = _with_seeds(entry, self.seeds, defaults, own)
        limits = {"minutes": entry.minutes or self.minutes, "memory_gb": entry.memory_gb or self.memory_gb, "about_seconds": entry.about_seconds}
        for values in itertools.product(*grid.values()):
            chosen = dict(zip(grid, values, strict=True))
            label = "-".join(part for part in (entry.label, *(_slug(*item) for item in chosen.items())) if part)
            yield Page(entry.notebook, label, {**own, **fixed, **chosen}, **limits)


def _with_seeds(
    entry: Entry, common: int | list[int] | None, defaults: Mapping[str, Any], own: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Further values and the grid with the seeds: a notebook that takes `seeds` gets their number, one that takes a single `seed` a page for each.

    Raises:
        ConfigError: the entry asks for seeds that its notebook cannot take.
    """
    seeds = common if entry.seeds is None else entry.seeds
    if seeds is None or {"seeds", "seed"} & {*own, *entry.grid}:
        return {}, entry.grid
    chosen = list(range(seeds)) if isinstance(seeds, int) else seeds
    if "seeds" in defaults:
        if chosen != list(range(len(chosen))):
            raise ConfigError(f"{entry.notebook} cannot take the seeds {chosen}", expected=f"how many, as in  seeds: {len(chosen)}")
        return {"seeds": len(chosen)}, entry.grid
    if entry.seeds is None:
        return {}, entry.grid
    if "seed" in defaults:
        return {}, {**entry.grid, "seed": chosen}
    raise ConfigError(f"{entry.notebook} takes no seeds", expected="a notebook with the parameter `seeds` or `seed`")


def _slug(name: str, value: Any) -> str:
    """Part of a page's name: `misa` of a text, `epochs-20` of anything else."""
    said = value if isinstance(value, str) and value else f"{name}-{'none' if value in ('', None) else json.dumps(value)}"
    return re.sub(r"[^\w.=-]+", "-", said).strip("-")


def report_files() -> dict[str, Path]:
    """Name to file of the reports beside the notebooks: `reports/*.yaml`."""
    folder = notebook_folder().parent / "reports"
    return {path.stem: path for path in sorted(folder.glob("*")) if path.suffix in SUFFIXES}


class Found(NamedTuple):
    """A report: its `name`, its `pages`, the `folder` of their notebooks, and what its file says of it."""

    name: str
    pages: list[Page]
    folder: Path
    title: str = ""
    about: str = ""


def find_report(name: str) -> Found:
    """A report by name, by the path of its file, or (one page) by a notebook's name.

    Raises:
        ConfigError: there is none, or the file says something that is not understood.
    """
    known = report_files()
    path = Path(name) if name.endswith(SUFFIXES) else known.get(name)
    if path is not None:
        report = read_report(path)
        folder = (path.parent / report.notebooks).resolve() if report.notebooks else notebook_folder()
        return Found(path.stem, report.expand(folder), folder, report.title, report.about)
    notebooks = {path.stem: path for path in sorted(notebook_folder().glob("*.ipynb"))}
    if name in notebooks:
        return Found(name, [Page(name)], notebook_folder())
    raise unknown("report", name, [*known, *notebooks], do="workbench list reports; or the path of a file: my_report.yaml")


def read_report(path: Path) -> ReportFile:
    """The report in a file.

    Raises:
        ConfigError: it cannot be read, or a field is unknown or not right; it is named with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the report file cannot be read: {error}", expected="YAML: title, pages", do="workbench list reports") from None
    content, lines = read_mapping(path, text, "the report file", ConfigError)
    try:
        return ReportFile.model_validate(content)
    except ValidationError as error:
        raise field_error(error, ConfigError, place=lambda field: line_of(str(path), lines, field), known_at=_fields_at) from None


def _fields_at(field: tuple[str | int, ...]) -> list[str]:
    """The field names that are known where a field stands."""
    return list((Entry if len(field) > 1 and field[0] == "pages" else ReportFile).model_fields)
