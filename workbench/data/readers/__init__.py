"""One file per format on disk; each has `read(card, root, **options) -> Dataset`, which `workbench.data.load` verifies against the card.

To add a format: write `readers/<format>.py` with `read`, name it here, and give it a card and a test.
"""

from collections.abc import Callable
from importlib import import_module

from workbench.data.batch import Dataset
from workbench.data.card import DataCard
from workbench.errors import unknown

FORMATS = {
    "declare_lab": "workbench.data.readers.declare_lab",
    "digits": "workbench.data.readers.digits",
    "npz": "workbench.data.readers.npz",
    "opinions": "workbench.data.readers.opinions",
}
"""Format name, as cards say it, to the module that reads it."""

Reader = Callable[..., Dataset]


def reader(card: DataCard) -> Reader:
    """The function that reads a card's format.

    Raises:
        ConfigError: a format that no file here reads.
    """
    if card.format not in FORMATS:
        raise unknown("format", card.format, FORMATS, do=f"correct `format:` in {card.place('format')}")
    return import_module(FORMATS[card.format]).read
