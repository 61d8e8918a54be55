"""The head of a card as it stands in the file: YAML between two `---` lines, with the line of every field, so that errors can name it."""

import re
from hashlib import sha256
from pathlib import Path

import yaml

from workbench.errors import DataError

Lines = dict[tuple[str | int, ...], int]
"""Line number in the file (from 1) of each field, by its path in the head."""


def read_head(path: Path) -> tuple[dict, Lines, str, str]:
    """A card's head, the line of each of its fields, its prose, and the sha256 of the whole file.

    Raises:
        DataError: no file, no UTF-8, no head, a head that is no YAML mapping, an alias, a key that stands twice, no prose.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except FileNotFoundError:
        raise DataError(f"there is no card {path}", expected="a Markdown file with a YAML head", do="see data_cards/README.md") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the card cannot be read: {error}", where=str(path), expected="a Markdown file in UTF-8") from None
    parts = re.match(r"---[ \t]*\r?\n(.*?\n)---[ \t]*(?:\r?\n|$)(.*)", text, re.DOTALL)
    if parts is None:
        raise DataError("the card has no head", where=f"{path} line 1", expected="a line ---, the YAML head, a line ---, then the prose")
    if not parts[2].strip():
        raise DataError(
            "the card has a head but no words for people", where=str(path), expected="below the head: what the data is and how it was made"
        )
    head, lines = _parse(path, parts[1])
    return head, lines, parts[2].strip(), sha256(raw).hexdigest()


def _parse(path: Path, text: str) -> tuple[dict, Lines]:
    """The YAML of a head, as plain values, and the line of each field."""
    try:
        # Aliases are refused: a few nested ones can unfold into gigabytes.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise DataError("the card's head uses a YAML alias (`*name`)", where=str(path), expected="plain keys and values")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: Lines = {}
        _note_lines(tree, (), path, lines)
        head = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path} line {mark.line + 2}" if mark else str(path)
        raise DataError(f"the card's head is not YAML: {getattr(error, 'problem', error)}", where=where, expected="key: value lines") from None
    if not isinstance(head, dict):
        raise DataError("the card's head is not a mapping", where=f"{path} line 2", expected="key: value lines")
    return head, lines


def _note_lines(node: yaml.Node | None, field: tuple[str | int, ...], path: Path, lines: Lines) -> None:
    """Notes the line of every field and refuses a key that stands twice (YAML itself would keep the last one silently)."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*field, str(key.value))
            line = key.start_mark.line + 2
            if inner in lines:
                raise DataError(
                    f"the key `{key.value}` stands twice", where=f"{path} line {line}", expected=f"once; it is already in line {lines[inner]}"
                )
            lines[inner] = line
            _note_lines(value, inner, path, lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            lines[(*field, i)] = value.start_mark.line + 2
            _note_lines(value, (*field, i), path, lines)


def line_of(shown: str, lines: Lines, field: tuple[str | int, ...]) -> str:
    """`shown line 14`: the nearest line that is known, the field's own, else that of the field around it."""
    while field and field not in lines:
        field = field[:-1]
    return f"{shown} line {lines[field]}" if field else shown
