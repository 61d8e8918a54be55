"""What decides a page: equal inputs give an equal page, so it is not made again."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import workbench
from workbench.errors import WorkbenchError
from workbench.surroundings import package_version


def page_key(notebook: Path, parameters: Mapping[str, Any], folder: Path, *, code: str | None = None) -> str:
    """A hash of all that decides what a page says.

    That is the notebook's cells, its parameters, the code and version of the package, torch, and the data sets, files and folders that a parameter
    names.

    Args:
        notebook: the notebook's file.
        parameters: all values, the defaults among them.
        folder: from where paths are seen: the notebook's working folder.
        code: `code_hash`, where it is known already.
    """
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]]
    data = {text: data_hash(text, folder) for text in sorted(set(texts({key: value for key, value in parameters.items() if key != "runs"})))}
    parts = [cells, dict(parameters), workbench.__version__, package_version("torch"), data, code or code_hash()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def code_hash() -> str:
    """A hash of the package's files; the report's own files only lay pages out, and those are laid out anew each time."""
    root = Path(workbench.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        if "report" not in path.relative_to(root).parts:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def texts(value: Any) -> Iterator[str]:
    """Every text in a value: itself, or in its lists and dicts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)


def data_hash(named: str, folder: Path) -> str:
    """A hash of what a text names: a data set (its card, size and time of its files), a file or a folder; empty where it names nothing."""
    parts: list[Any] = []
    if named.partition("/")[0] in _cards():
        parts = _data_set(named)
    elif named.endswith(".md") and (folder / named).is_file():
        parts = _data_set(str(folder / named))
    elif named and (folder / named).exists():
        parts = _standing(folder / named)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest() if parts else ""


def _cards() -> set[str]:
    from workbench.data.card import cards

    return set(cards())


def _data_set(name: str) -> list[Any]:
    """The sum of a card's text, and its files as they stand."""
    from workbench.data import data_root
    from workbench.data.card import card

    try:
        found = card(name)
    except WorkbenchError as error:  # the page will say it
        return [str(error)]
    return [found.sha256, *(_standing(data_root(name) / source.path) for source in found.sources)]


def _standing(path: Path) -> list[Any]:
    """A file's path, size and time; a folder's files and what lies one folder deeper, but for what is hidden (runs on their way)."""
    if path.is_dir():
        inner = sorted(child for pattern in ("*", "*/*") for child in path.glob(pattern) if child.is_file())
        return [entry for child in inner if "/." not in f"/{child.relative_to(path)}" for entry in _standing(child)]
    try:
        stat = path.stat()
    except OSError:
        return [str(path), "is not here"]
    return [str(path), stat.st_size, stat.st_mtime_ns]
