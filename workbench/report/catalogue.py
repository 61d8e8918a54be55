"""The pages of a report: which notebooks with which values, and which of them are made on this machine."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.errors import ConfigError, near
from workbench.report.parameters import parameters_for

MINUTES = 120.0
"""Time limit of a notebook, where nothing else is said [min]."""


@dataclass(frozen=True)
class Page:
    """A page of a report: a notebook, with parameters of its own where it is shown more than once.

    Args:
        notebook: its name.
        label: what tells this page from the notebook's other pages; part of its name.
        parameters: values by name, instead of the notebook's defaults.
        minutes: time limit [min].
        memory_gb: memory limit of the notebook with all that it starts [GB]; None: 90 % of the machine's.
        about_seconds: how long it takes on two cores [s], where that is known before it was ever run.
    """

    notebook: str
    label: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    minutes: float = MINUTES
    memory_gb: float | None = None
    about_seconds: float = 0.0

    @property
    def name(self) -> str:
        """`10_know_your_data`, `10_know_your_data-mosi`."""
        return f"{self.notebook}-{self.label}" if self.label else self.notebook

    def __str__(self) -> str:
        return self.name


def notebook_folder() -> Path:
    """The folder `notebooks/`: WORKBENCH_NOTEBOOKS, else beside the package, else in the current folder."""
    named = os.environ.get("WORKBENCH_NOTEBOOKS")
    if named:
        return Path(named).expanduser().resolve()
    beside = Path(__file__).resolve().parents[2] / "notebooks"
    return beside if beside.is_dir() else Path("notebooks").resolve()


def found_notebook(folder: Path, name: str) -> Path:
    """The file of a notebook.

    Raises:
        ConfigError: it is not there.
    """
    path = folder / f"{name}.ipynb"
    if path.is_file():
        return path
    here = sorted(path.stem for path in folder.glob("*.ipynb"))
    raise ConfigError(
        f"the notebook {name} is not there.{near(name, here)}",
        where=str(path),
        expected=f"one of {', '.join(here)}" if here else "a folder with notebooks",
        do="run in a checkout of the repository, or set WORKBENCH_NOTEBOOKS to its notebooks folder",
    )


def settled(pages: Sequence[Page], folder: Path, given: Mapping[str, Any]) -> tuple[list[Page], list[str]]:
    """The pages with the values given, in the types of their notebooks' defaults, and a sentence for each page that is left out.

    What is given wins over what a page says itself; pages that have become the same are made once. A page that names a data set which is not on this
    machine is left out.

    Raises:
        ConfigError: a notebook or a parameter is not there, a value cannot be read, or no page is left.
    """
    sources = [found_notebook(folder, page.notebook) for page in pages]
    known = parameters_for(list(dict.fromkeys(sources)), given)
    own = [parameters_for([source], page.parameters)[source.stem] for page, source in zip(pages, sources, strict=True)]
    kept: list[Page] = []
    left_out = []
    for page, values in zip(pages, own, strict=True):
        named = values.get("dataset")
        made = replace(page, parameters={**values, **known[page.notebook]})
        same = next((other for other in kept if (other.notebook, other.parameters) == (made.notebook, made.parameters)), None)
        if same is not None:
            asked = ", ".join(f"{key}={given[key]}" for key in given if key in values)
            left_out.append(f"{page.name} is left out: with {asked or 'the same values'} it is {same.name}")
        elif named and "dataset" not in given and not _is_here(named):
            left_out.append(f"{page.name} is left out: {named} is not here (workbench data fetch {named})")
        else:
            kept.append(made)
    if not kept:
        raise ConfigError("the report has no page", where="; ".join(left_out), expected="one notebook or more")
    return kept, left_out


def _is_here(dataset: str) -> bool:
    """True where a data set's files are on this machine; loaded late, as a report without such pages needs no data at all."""
    from workbench.data import available

    return available(dataset)
