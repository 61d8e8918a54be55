"""Which notebooks make a report, and where they are."""

import os
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import ConfigError, unknown

REPORTS = {"first_light": ["00_start_here", "01_modality_imbalance", "02_adaptive_weight_fusion"]}


def notebook_folder() -> Path:
    """The folder `notebooks/`: WORKBENCH_NOTEBOOKS, else beside the package, else in the current folder."""
    named = os.environ.get("WORKBENCH_NOTEBOOKS")
    if named:
        return Path(named).expanduser().resolve()
    beside = Path(__file__).resolve().parents[2] / "notebooks"
    return beside if beside.is_dir() else Path("notebooks").resolve()


def find_notebooks(name: str, notebooks: Sequence[str] | None, folder: Path | None) -> list[Path]:
    """The notebooks of a report, in order: those named, else those of the catalogue.

    Raises:
        ConfigError: nobody knows the report, or one of its notebooks is not there.
    """
    if notebooks is None and name not in REPORTS:
        raise unknown("report", name, REPORTS, do="workbench list notebooks")
    if "/" in name or "\\" in name or name.startswith(".") or not name:
        raise ConfigError(f'"{name}" cannot name a report', expected="a plain word: it becomes a folder")
    folder = Path(folder).resolve() if folder else notebook_folder()
    paths = [folder / f"{notebook}.ipynb" for notebook in (notebooks if notebooks is not None else REPORTS[name])]
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
