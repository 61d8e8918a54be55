"""YAML that people write: its values, the line of every field, and errors that name it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from workbench.errors import WorkbenchError, near

if TYPE_CHECKING:
    from pydantic import ValidationError

Field = tuple[str | int, ...]
Lines = dict[Field, int]
"""Line number in the file (from 1) of each field, by its path."""


def read_mapping(path: Path, text: str, what: str, kind: type[WorkbenchError], *, first: int = 1) -> tuple[dict, Lines]:
    """The YAML of a text as plain values, and the line of each field.

    Args:
        path: the file, for errors.
        text: the YAML.
        what: what an error calls it: `the report file`.
        kind: the class of the errors.
        first: line of the file in which the text begins.

    Raises:
        WorkbenchError: of the kind: no YAML mapping, an alias, a key that stands twice.
    """
    try:
        # Aliases are refused: a few nested ones can unfold into gigabytes.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise kind(f"{what} uses a YAML alias (`*name`)", where=str(path), expected="plain keys and values")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: Lines = {}
        _note_lines(tree, (), lines, path, kind, first)
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path} line {mark.line + first}" if mark else str(path)
        raise kind(f"{what} is not YAML: {getattr(error, 'problem', error)}", where=where, expected="key: value lines") from None
    if not isinstance(found, dict):
        raise kind(f"{what} is not a mapping", where=f"{path} line {first}", expected="key: value lines")
    return found, lines


def _note_lines(node: yaml.Node | None, field: Field, lines: Lines, path: Path, kind: type[WorkbenchError], first: int) -> None:
    """Notes the line of every field and refuses a key that stands twice (YAML itself would keep the last one silently)."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*field, str(key.value))
            line = key.start_mark.line + first
            if inner in lines:
                raise kind(f"the key `{key.value}` stands twice", where=f"{path} line {line}", expected=f"once; it is already in line {lines[inner]}")
            lines[inner] = line
            _note_lines(value, inner, lines, path, kind, first)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            lines[(*field, i)] = value.start_mark.line + first
            _note_lines(value, (*field, i), lines, path, kind, first)


def line_of(shown: str, lines: Lines, field: Field) -> str:
    """`shown line 14`: the nearest line that is known, the field's own, else that of the field around it."""
    while field and field not in lines:
        field = field[:-1]
    return f"{shown} line {lines[field]}" if field else shown


def field_error(
    error: "ValidationError", kind: type[WorkbenchError], *, place: Callable[[Field], str], known_at: Callable[[Field], Sequence[str]]
) -> WorkbenchError:
    """The first thing that pydantic found, in the house's words; the number of further ones.

    Args:
        error: what pydantic raised.
        kind: the class of the error to give.
        place: a field's file and line.
        known_at: the names that are known where a field stands.
    """
    problems = error.errors()
    first = problems[0]
    # pydantic adds the branch of a union to the place; only what stands in the file counts.
    branches = ("int", "constrained", "[key]", "list[", "function-")
    field = tuple(part for part in first["loc"] if not (isinstance(part, str) and part.startswith(branches)))
    name = ".".join(map(str, field)) or "head"
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    known = known_at(field)
    if first["type"] == "extra_forbidden":
        return kind(f"unknown field `{name}`.{near(str(field[-1]), known)}{more}", where=place(field), expected=f"one of {', '.join(known)}")
    if first["type"] == "missing":
        return kind(f"the field `{name}` is missing{more}", where=place(field), expected=f"`{field[-1]}:` among {', '.join(known)}")
    wrong = f" = {first['input']!r}" if isinstance(first["input"], str | int | float | None) else ""
    return kind(f"the field `{name}`{wrong} is not right{more}", where=place(field), expected=first["msg"].removeprefix("Value error, "))
