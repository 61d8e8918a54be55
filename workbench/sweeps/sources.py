"""The data of a sweep, without its test split: loaded by name in each process, or handed over once as a file."""

import pickle
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.data import is_simulated, load
from workbench.data.batch import Dataset
from workbench.errors import ConfigError
from workbench.recording import fingerprint


@dataclass(frozen=True)
class Source:
    """Where a process finds the data of a seed. Nothing that it gives has a test split.

    Args:
        name: a card's name; empty where data is held.
        options: for `load`, plain values.
        modalities: only these; empty: all.
        held: sealed data, or one for each seed.
        path: file of pickled held data, for other processes.
    """

    name: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    modalities: tuple[str, ...] = ()
    held: Dataset | Mapping[int, Dataset] | None = None
    path: str = ""

    @classmethod
    def of(cls, data: str | Dataset | Mapping[int, Dataset], options: Mapping[str, Any] | None, modalities: Any) -> "Source":
        """The source of a card's name, a data set, or one data set a seed."""
        chosen = tuple(modalities or ())
        if isinstance(data, str):
            plain = {key: str(value) if isinstance(value, Path) else value for key, value in (options or {}).items() if value is not None}
            return cls(data, plain, chosen)
        if options:
            raise ConfigError("data options belong to a card's name, and the data is here already", expected=f"none, got {', '.join(options)}")
        held = data.sealed() if isinstance(data, Dataset) else {seed: draw.sealed() for seed, draw in data.items()}
        return cls("", {}, chosen, held)

    def seed_data(self, seed: int) -> Dataset:
        """Train and valid of one seed, kept by this process for the next training."""
        data = self._held(seed) if self.held is not None else _kept(self, seed)
        return data.select(*self.modalities) if self.modalities else data

    def whole(self, seed: int) -> Dataset:
        """All splits of one seed, test too: only for the end of a sweep.

        Raises:
            ConfigError: the data was given as an object, which is not here any more.
        """
        if not self.name:
            raise ConfigError("this sweep was made on data that was given as an object", expected="on_test(data)", do="give the same data again")
        return load(self.name, **self._options(seed))

    def draw(self, seed: int) -> Dataset:
        """One seed's data as it is read or held, sealed."""
        if self.path:
            return Source(held=pickle.loads(Path(self.path).read_bytes()))._held(seed)  # our own file, written when the sweep began
        return load(self.name, **self._options(seed)).sealed()

    def _options(self, seed: int) -> dict[str, Any]:
        return {**self.options, "seed": seed} if self._is_drawn else self.options

    @property
    def _is_drawn(self) -> bool:
        """True for simulated data whose seed is left to the training."""
        return is_simulated(self.name) and "seed" not in self.options

    def _held(self, seed: int) -> Dataset:
        if isinstance(self.held, Dataset):
            return self.held
        if seed not in self.held:
            raise ConfigError(f"there is no data for seed {seed}", expected=f"one of {', '.join(map(str, self.held))}")
        return self.held[seed]

    @property
    def draws_by_seed(self) -> bool:
        """True where each seed has data of its own."""
        return isinstance(self.held, Mapping) or self._is_drawn

    def for_others(self, folder: Path) -> "Source":
        """The same source for other processes: what is held is written to a file, once."""
        if self.held is None:
            return self
        path = folder / f"data-{secrets.token_hex(4)}.pickle"
        path.write_bytes(pickle.dumps(self.held))
        return replace(self, held=None, path=str(path.resolve()))

    def prints(self, seeds: tuple[int, ...]) -> list[str]:
        """Fingerprints of the data: one, or one a seed."""
        return [fingerprint(self.seed_data(seed)) for seed in (seeds if self.draws_by_seed else seeds[:1])]


_KEPT: dict[tuple[str, ...], dict[int, Dataset]] = {}
"""The data of the last source that this process used, by seed."""


def _kept(source: Source, seed: int) -> Dataset:
    """The data of a source, read once by this process; another source takes its place."""
    key = (source.name, repr(sorted(source.options.items())), source.path)
    if key not in _KEPT:
        _KEPT.clear()
        _KEPT[key] = {}
    place = seed if source.draws_by_seed or source.path else -1
    if place not in _KEPT[key]:
        _KEPT[key][place] = source.draw(seed)
    return _KEPT[key][place]
