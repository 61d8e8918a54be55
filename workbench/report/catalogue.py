"""Which notebooks make a report, and where they are."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import ConfigError, unknown


@dataclass(frozen=True)
class Page:
    """A page of a report: a notebook, with parameters of its own where it is shown more than once.

    Args:
        notebook: its name.
        label: what tells this page from the notebook's other pages; part of its name.
        parameters: values by name, instead of the notebook's defaults.
        needs: a data set; where it is not on this machine the page is left out.
    """

    notebook: str
    label: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""

    @property
    def name(self) -> str:
        """`10_know_your_data`, `10_know_your_data-mosi`."""
        return f"{self.notebook}-{self.label}" if self.label else self.notebook

    def __str__(self) -> str:
        return self.name


REPORTS: dict[str, list[str | Page]] = {
    "first_light": [
        "00_start_here",
        "01_modality_imbalance",
        "02_adaptive_weight_fusion",
        "10_know_your_data",
        Page("10_know_your_data", "mosi", {"dataset": "mosi"}, needs="mosi"),
    ],
    "families": [
        "03_five_families",
        "04_baseline",
        Page("04_baseline", "mfn", {"method": "mfn"}),
        Page("04_baseline", "misa", {"method": "misa"}),
        Page("04_baseline", "self_mm", {"method": "self_mm"}),
    ],
    "mldfa": [
        "05_mldfa",
        Page("05_mldfa", "mosi", {"dataset": "mosi"}, needs="mosi"),
    ],
    "mmiln": [
        "06_mmiln",
        Page("06_mmiln", "sims", {"dataset": "sims", "layer_range": [1, 3]}, needs="sims"),
    ],
    "delta": ["07_delta_attention"],
    "sweep": ["08_sweep"],
    "live": [Page("11_studio", parameters={"interactive": False}), Page("12_explorer", parameters={"interactive": False})],
    "imbalance": ["09_imbalance_lab"],
    "compare": ["20_compare"],
    "robustness": ["14_robustness"],
}


def notebook_folder() -> Path:
    """The folder `notebooks/`: WORKBENCH_NOTEBOOKS, else beside the package, else in the current folder."""
    named = os.environ.get("WORKBENCH_NOTEBOOKS")
    if named:
        return Path(named).expanduser().resolve()
    beside = Path(__file__).resolve().parents[2] / "notebooks"
    return beside if beside.is_dir() else Path("notebooks").resolve()


def find_pages(name: str, notebooks: Sequence[str | Page] | None, given: Mapping[str, Any]) -> tuple[list[Page], list[str]]:
    """The pages of a report, in order: those named, else those of the catalogue; and a sentence for each that is left out.

    A page with parameters of its own is left out where its data set is not on this machine, and where one of those parameters is given: the
    notebook's other page then shows what was asked for.

    Raises:
        ConfigError: nobody knows the report, or no page is left.
    """
    pages, left_out = [], []
    for page in _entries(name, notebooks):
        asked = [key for key in page.parameters if key in given]
        if asked:
            left_out.append(f"{page.name} is left out: {asked[0]}={given[asked[0]]} was asked for")
        elif page.needs and not _is_here(page.needs):
            left_out.append(f"{page.name} is left out: {page.needs} is not here (workbench data fetch {page.needs})")
        else:
            pages.append(page)
    if not pages:
        raise ConfigError(f"the report {name} has no page", where="; ".join(left_out), expected="one notebook or more")
    return pages, left_out


def _entries(name: str, notebooks: Sequence[str | Page] | None) -> list[Page]:
    """What is named, or what the catalogue says."""
    if notebooks is None and name not in REPORTS:
        raise unknown("report", name, REPORTS, do="workbench list notebooks")
    return [entry if isinstance(entry, Page) else Page(entry) for entry in (REPORTS[name] if notebooks is None else notebooks)]


def _is_here(dataset: str) -> bool:
    """True where a data set's files are on this machine; loaded late, as a report without such pages needs no data at all."""
    from workbench.data import available

    return available(dataset)


def find_notebooks(name: str, notebooks: Sequence[str | Page] | None, folder: Path | None) -> list[Path]:
    """The notebooks of a report, in order, once a page: those named, else those of the catalogue.

    Raises:
        ConfigError: nobody knows the report, or one of its notebooks is not there.
    """
    pages = _entries(name, notebooks)
    if "/" in name or "\\" in name or name.startswith(".") or not name:
        raise ConfigError(f'"{name}" cannot name a report', expected="a plain word: it becomes a folder")
    folder = Path(folder).resolve() if folder else notebook_folder()
    paths = [folder / f"{page.notebook}.ipynb" for page in pages]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        here = sorted(path.stem for path in folder.glob("*.ipynb"))
        raise ConfigError(
            f"the notebook {missing[0].stem} is not there",
            where=str(missing[0]),
            expected=f"one of {', '.join(here)}" if here else "a folder with notebooks",
            do="run in a checkout of the repository, or set WORKBENCH_NOTEBOOKS to its notebooks folder",
        )
    return paths
