"""Data: cards, splits, batches, readers, and the simulator.

from workbench.data import load
data = load("mosi")                       # read by its card, verified, standardised
data = load("opinions/starved", seed=1)   # a preset of the simulator
data = load("my/card.md")                 # own data with an own card
"""

import inspect
import os
from dataclasses import replace
from pathlib import Path

from workbench.data.arrays import standardise
from workbench.data.batch import Batch, Column, Dataset, Modality, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.card import DataCard
from workbench.data.card import card as find_card
from workbench.data.readers import Reader, reader
from workbench.data.verify import missing_files, verify, verify_files
from workbench.errors import ConfigError, WorkbenchError, unknown


def data_root(name: str = "", *, root: str | Path | None = None) -> Path:
    """Where data files lie: `root`, else the folder of a card that is given by path, else `WORKBENCH_DATA`, else ~/.cache/workbench."""
    if root is not None:
        return Path(root).expanduser()
    if name.endswith(".md"):
        return Path(name).parent
    return Path(os.environ.get("WORKBENCH_DATA") or "~/.cache/workbench").expanduser()


def available(name: str, *, root: str | Path | None = None) -> bool:
    """True where the data set's files are on this machine with the sizes that the card says; nothing is read (cheap).

    Raises:
        ConfigError: no card has the name.
    """
    return not missing_files(find_card(name), data_root(name, root=root))


def load(name: str, *, root: str | Path | None = None, **options: object) -> Dataset:
    """A data set: its files summed, read, verified against its card, and standardised where the card says so.

    Args:
        name: a card's name (`mosi`), with a preset after a slash (`opinions/starved`), or the path of a card (`my/card.md`).
        root: where the data files lie (see `data_root`).
        options: passed to the reader of the card's format; `opinions` takes `samples`, `seed` and its dials.

    Raises:
        ConfigError: an unknown name, preset or option.
        MissingDataError: files are not on this machine; the error names the command that brings them.
        DataError: the data is not what the card says.
    """
    card = find_card(name)
    dataset, _ = read(name, root=root, **options)
    scaled = [key for key, modality in card.modalities.items() if modality.standardise]
    return replace(standardise(dataset, scaled), notes={**dataset.notes, "standardised": scaled})


def read(name: str, *, root: str | Path | None = None, **options: object) -> tuple[Dataset, list[str]]:
    """A data set as on disk, before standardising, and what was verified; arguments and errors as for `load`."""
    name = str(name)
    card, folder = find_card(name), data_root(name, root=root)
    read_format, options = _reader(card, name, options)
    sums = verify_files(card, folder, name=name)
    dataset = read_format(card, folder, **options)
    facts = verify(card, dataset)
    notes = {"card": card.name, "card_sha256": card.sha256, "files": sums, "traps": list(card.traps), "options": options}
    return replace(dataset, notes={**dataset.notes, **notes}), facts


def _reader(card: DataCard, name: str, options: dict[str, object]) -> tuple[Reader, dict[str, object]]:
    """The reader of the card's format, and its options with the preset of the name; unknown options are refused."""
    read_format = reader(card)
    preset = "" if name.endswith(".md") else name.partition("/")[2]
    parameters = list(inspect.signature(read_format).parameters.values())[2:]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    known = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
    if preset:
        if not takes_any and "preset" not in known:
            raise ConfigError(f'{card.name} has no presets, got "{preset}"', expected=card.name)
        options = {"preset": preset, **options}
    for option in options:
        if not takes_any and option not in known:
            raise unknown("option", option, known) if known else ConfigError(f'{card.name} takes no options, got "{option}"')
    return read_format, options


__all__ = [
    "Batch",
    "Column",
    "DataCard",
    "Dataset",
    "Modality",
    "ModalitySpec",
    "Spec",
    "Split",
    "TaskSpec",
    "WorkbenchError",
    "available",
    "data_root",
    "load",
    "read",
]
