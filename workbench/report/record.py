"""What is known of each page, as small JSON files: the index is built from them and never reads a page again."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["waiting", "running", "done", "failed", "skipped"]


@dataclass
class PageRecord:
    """One page: its notebook's `name`, its `title`, how it went, what came out."""

    name: str
    title: str = ""
    label: str = ""  # what tells it from other pages of the same notebook
    status: Status = "waiting"
    seconds: float = 0.0
    key: str = ""  # of source, parameters and versions: an equal key means nothing would change
    parameters: dict[str, Any] = field(default_factory=dict)
    headlines: list[dict[str, Any]] = field(default_factory=list)  # sentence, table
    error: dict[str, Any] = field(default_factory=dict)  # what, parts, kind, cell, traceback
    figures: int = 0
    cell: int = 0
    cells: int = 0
    is_kept: bool = False  # finished in an earlier run and unchanged since
    finished: str = ""
    thumbnail: str = ""  # an SVG of the figure that the headline follows
    cards: list[dict[str, Any]] = field(default_factory=list)  # of the data it used: name, title, modalities, sha256, path

    @property
    def sentences(self) -> list[str]:
        """The headlines' sentences."""
        return [str(found["sentence"]) for found in self.headlines]

    def save(self, folder: Path) -> None:
        """Writes `<name>.json`, whole or not at all."""
        write_whole(folder / f"{self.name}.json", json.dumps(asdict(self), indent=1, ensure_ascii=False))

    @classmethod
    def load(cls, path: Path) -> "PageRecord | None":
        """The record at a path; None where there is none that can be read (it is then made anew)."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def write_whole(path: Path, text: str) -> None:
    """Writes a file under a temporary name and renames it: a reader never sees half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
