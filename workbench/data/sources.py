"""The files of a card: are they here, and are they the ones that the card means?"""

from hashlib import sha256
from pathlib import Path

from workbench.data.card import DataCard, SourceCard
from workbench.errors import DataError, MissingDataError


def missing_files(card: DataCard, root: Path, *, variant: str = "") -> list[str]:
    """Paths of the card's files that are not below the root, or do not have the card's size (no sum is computed: cheap)."""
    return [source.path for source in card.files(variant) if not _is_there(source, root)]


def _is_there(source: SourceCard, root: Path) -> bool:
    path = root / source.path
    return path.is_file() and (source.bytes is None or path.stat().st_size == source.bytes)


def file_sum(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        digest = sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def verify_files(card: DataCard, root: Path, *, name: str = "", variant: str = "") -> dict[str, str]:
    """The sha256 of each file of the card (of one of its variants).

    Raises:
        MissingDataError: some files are not below the root; the error lists them and the command that brings them.
        DataError: a file has another size or sum than the card says.
    """
    files = card.files(variant)
    absent = [source.path for source in files if not (root / source.path).is_file()]
    call = name or card.name
    if absent:
        can_fetch = all(source.url for source in files)
        by_hand = card.obtain or f"put the file there, or correct `path:` in {card.place('sources')}"
        listed = ", ".join(absent[:8]) + (f" and {len(absent) - 8} more" if len(absent) > 8 else "")
        raise MissingDataError(
            f"{card.name}: {len(absent)} of {len(files)} files are not on this machine",
            where=f"{root}: {listed}",
            do=f"workbench data fetch {call}" if can_fetch else by_hand,
        )
    sums = {}
    for i, source in enumerate(card.sources):
        if source not in files:
            continue
        path = root / source.path
        sums[source.path] = digest = file_sum(path)
        size = path.stat().st_size
        if source.bytes is not None and size != source.bytes:
            hint = " (cut off?)" if size < source.bytes else ""
            raise _other_file(card, path, i, "bytes", f"has {size} bytes{hint}", f"{source.bytes} bytes", call)
        if source.sha256 is not None and digest != source.sha256:
            raise _other_file(
                card,
                path,
                i,
                "sha256",
                "is not the file of the card: its sha256 differs",
                f"sha256 {source.sha256[:12]}..., got {digest[:12]}...",
                call,
            )
    return sums


def _other_file(card: DataCard, path: Path, i: int, field: str, what: str, expected: str, call: str) -> DataError:
    do = f"workbench data fetch {call}" if card.sources[i].url else "restore the file"
    return DataError(
        f"{card.name}: {path.name} {what}", where=str(path), expected=expected, do=f"{do}; or correct `{field}:` in {card.place('sources', i, field)}"
    )


def published_files(card: DataCard, sums: dict[str, str]) -> list[str]:
    """One sentence for each file whose makers published a sum: is it that file, or another copy?"""
    said = []
    for source in card.sources:
        if source.published_sha256 and source.path in sums:
            is_known = any(sums[source.path].startswith(known) for known in source.published_sha256)
            said.append(f"{source.path} is {'the published file' if is_known else 'another copy than the published file: its sha256 differs'}")
    return said
