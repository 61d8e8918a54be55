"""Brings the files of a data set to this machine: from where the card says, or from a local copy; complete and checked, or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from workbench.data import data_root
from workbench.data.card import DataCard, SourceCard
from workbench.data.card import card as find_card
from workbench.data.sources import file_sum
from workbench.errors import DataError, MissingDataError


@dataclass(frozen=True)
class Fetched:
    """One file after `fetch`: where it lies, its size, and whether it was there, copied from the mirror, or downloaded."""

    path: Path
    bytes: int
    action: Literal["there", "copied", "downloaded"]


def fetch(name: str, *, root: str | Path | None = None, mirror: str | Path | None = None, progress: bool = True) -> list[Fetched]:
    """Brings all files of a data set that are not here yet; a second call finds them all and does nothing.

    Each file goes to a temporary name, is held against the card's size and sha256, and only then gets its own name: a reader never
    sees half a file, and nothing wrong is kept.

    Args:
        name: a card's name, or the path of a card.
        root: where to (see `workbench.data.data_root`).
        mirror: a folder with the files at the card's paths, to copy from instead of downloading; default `WORKBENCH_MIRROR`.
        progress: show a progress bar.

    Raises:
        ConfigError: an unknown name.
        MissingDataError: a file is not in the mirror, or could not be downloaded.
        DataError: a file that came is not the one of the card, or the root cannot be written.
    """
    card, folder = find_card(name), data_root(str(name), root=root)
    mirror = mirror or os.environ.get("WORKBENCH_MIRROR") or None
    if mirror is not None and card.sources and not Path(mirror).is_dir():
        raise MissingDataError(
            f"there is no mirror {mirror}", expected="a folder with the files at the card's paths", do="correct --mirror or WORKBENCH_MIRROR"
        )
    fetched = []
    for i, source in enumerate(tqdm(card.sources, desc=card.name, unit="file", disable=not progress or not card.sources)):
        target = folder / source.path
        if _is_right(source, target):
            fetched.append(Fetched(target, target.stat().st_size, "there"))
            continue
        with _arriving(card, target) as part:
            action = _copy(card, source, Path(mirror), part) if mirror else _download(card, source, part, progress)
            _check(card, i, part, str(Path(mirror) / source.path) if mirror else str(source.url))
        fetched.append(Fetched(target, target.stat().st_size, action))
    return fetched


def _is_right(source: SourceCard, path: Path) -> bool:
    if not path.is_file() or (source.bytes is not None and path.stat().st_size != source.bytes):
        return False
    return source.sha256 is None or file_sum(path) == source.sha256


@contextmanager
def _arriving(card: DataCard, target: Path) -> Iterator[Path]:
    """A temporary path beside the target; it becomes the target if all went well, and goes away if not."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        os.close(handle)
        part = Path(name)
        try:
            yield part
            # mkstemp makes files for their owner only; data is for everyone whom the umask allows.
            umask = os.umask(0)
            os.umask(umask)
            part.chmod(0o666 & ~umask)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        what = f"{card.name}: {target.name} cannot be written: {error.strerror or error}"
        raise DataError(what, where=str(target.parent), do="free some space or choose another folder: set WORKBENCH_DATA") from error


def _copy(card: DataCard, source: SourceCard, mirror: Path, part: Path) -> Literal["copied"]:
    origin = mirror / source.path
    if not origin.is_file():
        raise MissingDataError(
            f"{card.name}: the mirror has no {source.path}", where=str(mirror), do="correct --mirror or WORKBENCH_MIRROR, or leave it out to download"
        )
    shutil.copyfile(origin, part)
    return "copied"


def _download(card: DataCard, source: SourceCard, part: Path, progress: bool) -> Literal["downloaded"]:
    import pooch
    import requests

    if source.url is None:
        raise MissingDataError(
            f"{card.name}: {source.path} cannot be downloaded, its card has no url",
            where=str(card.path),
            do="take it from a local copy: --mirror DIR",
        )
    try:
        pooch.HTTPDownloader(progressbar=progress, timeout=60)(source.url, str(part), None)
    except requests.exceptions.RequestException as error:
        do = f"check the network and try again, or take the files from a local copy: workbench data fetch {card.name} --mirror DIR"
        raise MissingDataError(f"{card.name}: {source.path} could not be downloaded: {error}", where=source.url, do=do) from error
    return "downloaded"


def _check(card: DataCard, i: int, part: Path, origin: str) -> None:
    """What arrived is the file of the card."""
    source, size = card.sources[i], part.stat().st_size
    if source.bytes is not None and size != source.bytes:
        expected = f"{source.bytes} bytes, got {size}" + (" (cut off?)" if size < source.bytes else "")
        raise DataError(
            f"{card.name}: {source.path} has the wrong size; nothing was kept",
            where=origin,
            expected=expected,
            do=f"try again; the card: {card.place('sources', i, 'bytes')}",
        )
    if source.sha256 is not None and (got := file_sum(part)) != source.sha256:
        expected = f"sha256 {source.sha256[:12]}..., got {got[:12]}..."
        raise DataError(
            f"{card.name}: {source.path} is another file than the card's; nothing was kept",
            where=origin,
            expected=expected,
            do=f"the card: {card.place('sources', i, 'sha256')}",
        )
