"""Data: cards, splits, batches, readers, and the simulator.

from workbench.data import load
data = load("mosi")                       # read by its card, verified, standardised
data = load("opinions/starved", seed=1)   # a preset of the simulator; task="emotions" asks it for six emotions
data = load("my/card.md")                 # own data with an own card
"""

import inspect
from dataclasses import replace
from pathlib import Path

from workbench.data import native, scratch, views
from workbench.data.batch import Batch, Column, Dataset, Modality, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.card import DataCard
from workbench.data.card import card as find_card
from workbench.data.readers import Reader, reader
from workbench.data.scaling import Scale, plain, scales, with_scales
from workbench.data.sources import missing_files, published_files, verify_files
from workbench.data.verify import verify
from workbench.errors import ConfigError, WorkbenchError, unknown


def data_root(name: str = "", *, root: str | Path | None = None) -> Path:
    """Where data files lie: `root`, else the folder of a card that is given by path, else `WORKBENCH_DATA`, else ~/.cache/workbench."""
    if root is not None:
        return Path(root).expanduser()
    return Path(name).parent if name.endswith(".md") else scratch.data_home()


def available(name: str, *, root: str | Path | None = None) -> bool:
    """True where the data set's files are on this machine with the sizes that the card says, or were converted; nothing is read (cheap).

    Raises:
        ConfigError: no card has the name.
    """
    card, folder = find_card(name), data_root(name, root=root)
    variant = card.variant(_preset(name)) if card.variants else ""
    return not missing_files(card, folder, variant=variant) or native.Home(card, folder, variant, {}).facts() is not None


def load(name: str, *, root: str | Path | None = None, path: str | Path | None = None, **options: object) -> Dataset:
    """A data set: its files summed, read, verified against its card, and standardised where the card says so.

    What `convert` wrote is opened instead, by memory map, where nothing has changed since.

    Args:
        name: a card's name (`mosi`), with a preset or variant after a slash (`opinions/starved`, `mosi_mmsa/aligned`), or the path of a card
            (`my/card.md`).
        root: where the data files lie (see `data_root`).
        path: where the one file of a card lies, whatever it is called: `load("mosi_mmsa", path="/data/unaligned_50.pkl")`.
        options: views of any data set (fields of `workbench.data.views.View`: modalities, align_to, drop, ...); all others are passed to the
            reader of the card's format; `opinions` takes `samples`, `seed` and its dials.

    Raises:
        ConfigError: an unknown name, preset or option.
        MissingDataError: files are not on this machine; the error names the command that brings them.
        DataError: the data is not what the card says.
    """
    view, options = views.take_options(options)
    request = _Request(str(name), root, path, options)
    data = native.find(request.home)
    if data is None:
        data, _ = request.load()
        if request.home.folder.is_dir():
            stale = f"the converted files in {request.home.folder} are of other sources or another code, and were not used: convert again"
            data = replace(data, notes={**data.notes, "reading": [*data.notes.get("reading", []), stale]})
    return views.apply(view, data)


def is_simulated(name: str) -> bool:
    """True for data that is made on the spot, another draw for each seed."""
    return name.partition("/")[0] == "opinions"


def read(name: str, *, root: str | Path | None = None, path: str | Path | None = None, **options: object) -> tuple[Dataset, list[str]]:
    """A data set as on disk, before standardising, and what was verified; arguments and errors as for `load`, without views.

    Where the files are gone and the data was converted, what was converted (up to rounding).
    """
    request = _Request(str(name), root, path, options)
    gone = missing_files(request.card, request.folder, variant=request.variant)
    converted = native.find_unscaled(request.home) if gone else None
    if converted is None:
        return request.read()
    return converted, [f"the files are gone; what was converted lies in {converted.notes['converted']}", *verify(request.card, converted)]


def convert(name: str, *, root: str | Path | None = None, path: str | Path | None = None, **options: object) -> native.Converted:
    """Reads, verifies and standardises a data set once and keeps it in the workbench's own format; `load` opens that from then on.

    Memory stays bounded where the reader reads in pieces, however large the files are. Arguments and errors as for `load`, without views.
    """
    request = _Request(str(name), root, path, options)
    sources = request.home.sources()
    data, found = request.load()
    return native.write(data, request.home, sources=sources, scales=found)


class _Request:
    """What one call asks for, settled: card, folder, variant, reader and its options."""

    def __init__(self, name: str, root: str | Path | None, path: str | Path | None, options: dict[str, object]) -> None:
        self.name, self.card, self.folder = name, find_card(name), data_root(name, root=root)
        self.reader, self.options = _reader(self.card, name, options)
        self.variant = str(self.options.pop("variant", "")) if self.card.variants else ""
        if path is not None:
            self.card, self.folder = self.card.at(Path(path).expanduser(), self.variant), Path(path).expanduser().parent
        self.home = native.Home(self.card, self.folder, self.variant, self.options)

    def read(self) -> tuple[Dataset, list[str]]:
        """The data set as on disk, and what was verified."""
        sums = verify_files(self.card, self.folder, name=self.name, variant=self.variant)
        chosen = {"variant": self.variant} if self.variant else {}
        dataset = self.reader(self.card, self.folder, **chosen, **self.options)
        notes = {"card": self.card.name, "card_sha256": self.card.sha256, "files": sums, "traps": list(self.card.traps), "options": self.options}
        reading = [*dataset.notes.get("reading", []), *published_files(self.card, sums)]
        dataset = replace(dataset, notes={**dataset.notes, **notes, **chosen, "reading": reading})
        return dataset, verify(self.card, dataset)

    def load(self) -> tuple[Dataset, dict[str, Scale]]:
        """The data set with the modalities standardised that the card names, and their scales."""
        dataset, _ = self.read()
        named = [name for name, modality in self.card.modalities.items() if modality.standardise and dataset.spec.modalities[name].kind != "tokens"]
        found = scales(dataset, named)
        return replace(with_scales(dataset, found), notes={**dataset.notes, "standardised": named, "scales": plain(found)}), found


def _preset(name: str) -> str:
    """What stands behind the slash of a name."""
    return "" if name.endswith(".md") else name.partition("/")[2]


def _reader(card: DataCard, name: str, options: dict[str, object]) -> tuple[Reader, dict[str, object]]:
    """The reader of the card's format, and its options with the preset of the name; unknown options are refused."""
    read_format, preset = reader(card), _preset(name)
    parameters = list(inspect.signature(read_format).parameters.values())[2:]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    known = [
        parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD and (card.variants or parameter.name != "variant")
    ]
    if card.variants:
        options = {**options, "variant": card.variant(preset or str(options.get("variant", "")))}
    elif preset:
        if not takes_any and "preset" not in known:
            raise ConfigError(f'{card.name} has no presets, got "{preset}"', expected=card.name)
        options = {"preset": preset, **options}
    for option in options:
        if option in views.View.model_fields and option not in known:
            what = f"`{option}` is a view of the data: it belongs to a training or to load(), not here"
            raise ConfigError(what, expected=f"options of the reader: {', '.join(known) or 'none'}")
        if not takes_any and option not in known:
            known = [*known, *views.View.model_fields]
            raise unknown("option", option, known)
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
    "convert",
    "data_root",
    "load",
    "read",
]
