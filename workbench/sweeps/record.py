"""sweep.json: what a sweep is of. A sweep that is started again must be of the same; it may only grow."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench import __version__
from workbench.errors import ConfigError, WorkbenchError
from workbench.locks import held
from workbench.sweeps.ranges import Range, plain

GROWS = ("ranges", "trials")

WHERE = {"given": {"plan": ("device",)}, "data": {"options": ("root", "path")}}
"""Where it is trained and where the files lie: changes no number, and may be another each time (fingerprints guard the data)."""


@dataclass(frozen=True)
class Record:
    """What a sweep is of, in plain values.

    Args:
        method, dataset: what is trained on what.
        data: name, options, modalities and fingerprints of the data.
        given: what was given to `workbench.ordering.order`: config, plan, balance, balance_config, preset.
        base: every setting that is not swept, settled.
        usual: the value of each swept setting where it is not varied.
        ranges: key -> `Range.as_json`.
        sampler, trials: how settings are chosen; `trials` is 0 where the ranges say how many.
        seeds: one training each.
        metric, is_lower_better: the score on valid.
        prune: trials that fall behind are ended early.
        study, study_name: the storage (without a password) and the study in it.
    """

    method: str
    dataset: str
    data: dict[str, Any]
    given: dict[str, Any]
    base: dict[str, Any]
    usual: dict[str, Any]
    ranges: dict[str, Any]
    sampler: str
    trials: int
    seeds: list[int]
    metric: str
    is_lower_better: bool
    prune: bool
    study: str
    study_name: str
    workbench: str = field(default=__version__)

    def as_dict(self) -> dict[str, Any]:
        """As JSON gives it back."""
        return json.loads(json.dumps(self.__dict__))

    @property
    def keys(self) -> list[str]:
        """Full names of the swept settings."""
        return list(self.ranges)

    def read_ranges(self) -> dict[str, Range]:
        """The ranges as such."""
        return {key: Range.from_json(key, saved) for key, saved in self.ranges.items()}

    def digest(self) -> str:
        """Eight characters of what is swept: all but the values and the number of trials, which may grow, and where it is kept."""
        content = {key: value for key, value in numbers_of(self.as_dict()).items() if key not in (*GROWS, "study", "study_name", "prune")}
        return hashlib.sha256(plain({**content, "keys": sorted(self.keys)}).encode()).hexdigest()[:8]


def numbers_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the numbers depend on: the facts without devices and folders."""
    found = dict(facts)
    for fact, parts in WHERE.items():
        for part, names in parts.items():
            if part in found.get(fact, {}):
                found[fact] = {**found[fact], part: {key: value for key, value in found[fact][part].items() if key not in names}}
    return found


def default_name(record: Record) -> str:
    """`lf_dnn-opinions-starved-1a2b3c4d`."""
    return f"{record.method}-{record.dataset.replace('/', '-')}-{record.digest()}"


def grown(new: Record, old: Mapping[str, Any], *, where: str) -> Record:
    """The record to go on with: the old one, with trials and listed values that are new.

    Raises:
        ConfigError: the new one is of something else; what differs is named.
    """
    before = numbers_of(old)
    differs = [f"{key}: {_short(before.get(key))} then, {_short(value)} now" for key, value in _flat(new, old) if before.get(key) != value]
    if differs:
        raise ConfigError(
            f"there is a sweep of this name already, and it is another one: {'; '.join(differs)}", where=where,
            expected="the same sweep, with the same or more values or trials", do="give it another name: --name NAME",
        )  # fmt: skip
    ranges = {key: _joined(key, saved, old["ranges"], new.sampler, where) for key, saved in new.ranges.items()}
    return Record(**{**new.__dict__, "ranges": ranges, "trials": max(new.trials, old["trials"])})


def _flat(new: Record, old: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What must be equal, in the order of importance."""
    facts = numbers_of(new.as_dict())
    yield from ((key, facts[key]) for key in facts if key not in (*GROWS, "study", "prune"))
    if set(facts["ranges"]) != set(old.get("ranges", {})):
        yield "ranges", facts["ranges"]


def _joined(key: str, saved: Any, old: Mapping[str, Any], sampler: str, where: str) -> Any:
    """The old values and the new ones after them; a span, and the choices of a sampler that learns, stay as they are."""
    before = old[key]
    if saved == before:
        return before
    is_grid = sampler in ("grid", "each") and isinstance(saved, list) and isinstance(before, list)
    lost = [value for value in before if plain(value) not in map(plain, saved)] if is_grid else []
    if not is_grid or lost:
        then, now = Range.from_json(key, before).text(), Range.from_json(key, saved).text()
        expected = f"all values that it has: {then}, and new ones" if is_grid else f"{key}: {then}"
        raise ConfigError(f"the sweep of this name has {key}: {then}, not {now}", where=where, expected=expected, do="or another name: --name NAME")
    return [*before, *(value for value in saved if plain(value) not in map(plain, before))]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def write_json(path: Path, content: Any) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=1, default=str))
    os.replace(temporary, path)


def read_record(path: Path) -> dict[str, Any]:
    """The sweep.json of a folder.

    Raises:
        WorkbenchError: there is none.
    """
    try:
        return json.loads((path / "sweep.json").read_text())
    except FileNotFoundError as error:
        raise WorkbenchError(f"{path} is no sweep", where=str(path), expected="a folder with sweep.json", do="workbench sweep METHOD DATA") from error


@contextmanager
def one_driver(path: Path, *, is_shared: bool) -> Iterator[None]:
    """Holds the folder of a local sweep.

    Raises:
        WorkbenchError: another process drives this sweep.
    """
    path.mkdir(parents=True, exist_ok=True)
    if is_shared:
        yield
        return
    error = WorkbenchError(
        f"another process runs the sweep {path.name}", where=str(path), expected="one at a time for a study in a file",
        do="wait for it, or share a study on a server: --study postgresql://...",
    )  # fmt: skip
    with held(path / "lock", error):
        yield
