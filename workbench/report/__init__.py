"""Executed notebooks become one folder of pages with an index: `reports/<name>/index.html`.

`headline` is light: a notebook may import it without papermill or nbconvert. Everything else is loaded when it is first asked for.
"""

from importlib import import_module
from typing import Any

from workbench.report.headline import headline

HOMES = {"run_report": "run", "ReportResult": "making", "PageRecord": "record"}
HOMES |= dict.fromkeys(("Page", "notebook_folder"), "catalogue")
HOMES |= dict.fromkeys(("ReportFile", "find_report", "read_report", "report_files"), "files")
__all__ = ["headline", *sorted(HOMES)]


def __getattr__(name: str) -> Any:
    """The public name, from the file that holds it."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
