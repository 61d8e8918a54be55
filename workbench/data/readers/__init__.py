"""One file per format on disk; each has `read(card, root, **options) -> Dataset`, which `workbench.data.load` verifies against the card.

To add a format: write `readers/<format>.py` with `read`, name it here, and give it a card and a test.
"""

from collections.abc import Callable
from importlib import import_module

from workbench.data.batch import Dataset
from workbench.data.card import DataCard
from workbench.errors import unknown

FORMATS = {
    "av_digits": "workbench.data.readers.av_digits",
    "csd": "workbench.data.readers.csd",
    "declare_lab": "workbench.data.readers.declare_lab",
    "digits": "workbench.data.readers.digits",
    "folder": "workbench.data.readers.folder",
    "iemocap": "workbench.data.readers.iemocap",
    "meld": "workbench.data.readers.meld",
    "misa_pickle": "workbench.data.readers.misa_pickle",
    "mm_imdb": "workbench.data.readers.mm_imdb",
    "mm_imdb_raw": "workbench.data.readers.mm_imdb_raw",
    "mmsa_pickle": "workbench.data.readers.mmsa_pickle",
    "mult_pickle": "workbench.data.readers.mult_pickle",
    "npz": "workbench.data.readers.folder",
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
