"""What people press: the training studio, the sample explorer and the imbalance dial, in JupyterLab.

    from workbench.widgets import dial, explorer, studio

Wiring only: what is computed stands in `workbench.session` and in the probes, what is drawn in `workbench.figures`. The names are loaded when they
are first asked for.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

HOMES = {"studio": "studio", "Studio": "studio", "explorer": "explorer", "Explorer": "explorer", "dial": "dial", "Dial": "dial"}
__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    """The public name, from the file that holds it."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)


class _Package(ModuleType):
    """`studio` is a function, and also the name of the file it lies in: importing the file must not put the file in the function's place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
