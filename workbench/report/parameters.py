"""The parameters of a report's notebooks: what they know, and a given value in the type of its default.

papermill only warns of an unknown parameter and ignores a missing tag; here both are errors, before anything runs.
"""

import ast
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import ConfigError, unknown

WORDS = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}


def read_defaults(notebook: Path) -> dict[str, Any]:
    """The names and default values of a notebook's cell tagged `parameters`.

    Raises:
        ConfigError: the file is no notebook, no cell has the tag, or a default is not a literal.
    """
    cells = [cell for cell in _cells(notebook) if "parameters" in cell.get("metadata", {}).get("tags", []) and cell.get("cell_type") == "code"]
    if not cells:
        do = "tag its second cell: in JupyterLab, property inspector, cell tags, add `parameters`"
        raise ConfigError(f"{notebook.stem} has no cell tagged `parameters`", where=str(notebook), expected="one code cell with this tag", do=do)
    return _literals("".join(cells[0]["source"]), notebook)


def _cells(notebook: Path) -> list[dict[str, Any]]:
    """The cells of a notebook file."""
    try:
        return json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{notebook.name} is not a notebook: {error}", where=str(notebook), expected="a Jupyter notebook of format 4") from error


def _literals(source: str, notebook: Path) -> dict[str, Any]:
    """The assignments of a parameters cell; a value derived from another would silently keep its old input."""
    where = f"{notebook.name}, cell tagged `parameters`"
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise ConfigError(
            f"the parameters cell cannot be read: {error.msg}", where=f"{where}, line {error.lineno}", expected="name = value"
        ) from error
    found = {}
    for statement in statements:
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        try:
            found[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError, TypeError) as error:
            line = f"{where}, line {statement.lineno}: {ast.unparse(statement)}"
            do = "compute it in the next cell"
            raise ConfigError("a parameter is not a literal", where=line, expected="name = a number, text, list or None", do=do) from error
    return found


def parameters_for(notebooks: list[Path], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Per notebook, the given parameters that it knows, in the types of its defaults.

    Raises:
        ConfigError: no notebook knows a parameter, or a value cannot be read as its default's type.
    """
    defaults = {notebook.stem: read_defaults(notebook) for notebook in notebooks}
    known = sorted({name for found in defaults.values() for name in found})
    for name in given:
        if name not in known:
            raise unknown("parameter", name, known, do=f"the defaults stand in the `parameters` cells of {', '.join(defaults)}")
    return {stem: {name: converted(name, value, found[name]) for name, value in given.items() if name in found} for stem, found in defaults.items()}


def converted(name: str, value: Any, default: Any) -> Any:
    """A value as the default's type; text is read as the command line gives it ("3", "1e-3", "a,b", "yes").

    Raises:
        ConfigError: it cannot be read so.
    """
    readers = {bool: _read_bool, int: _read_int, float: _read_float, str: _read_text, list: _read_list, tuple: _read_list, dict: _read_dict}
    if default is None:
        return _guess(value) if isinstance(value, str) else value
    try:
        read = readers[type(default)](value, default)
    except (ValueError, TypeError, SyntaxError, KeyError) as error:
        wanted = {bool: "yes or no", int: "a whole number", float: "a number", str: "text", dict: 'a dict: {"key": value}'}
        expected = wanted.get(type(default), "values with commas between them: a,b,c")
        raise ConfigError(f'parameter {name}: "{value}" cannot be read', expected=f"{expected} (default {default!r})") from error
    return tuple(read) if isinstance(default, tuple) else read


def _read_bool(value: Any, default: bool) -> bool:
    return value if isinstance(value, bool) else WORDS[str(value).strip().lower()]


def _read_int(value: Any, default: int) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError("not a whole number")
    return int(value)


def _read_float(value: Any, default: float) -> float:
    if isinstance(value, bool):
        raise ValueError("not a number")
    return float(value)


def _read_text(value: Any, default: str) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _read_list(value: Any, default: list[Any] | tuple[Any, ...]) -> list[Any]:
    """A list, or text with commas; every element as the default's elements are."""
    if isinstance(value, str) and value.strip().startswith(("[", "(")):
        value = list(ast.literal_eval(value))
    elif isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    elif not isinstance(value, (list, tuple)):
        value = [value]
    types = {type(element) for element in default}
    model = default[0] if len(types) == 1 else 0.0 if types == {int, float} else None
    return [converted("element", element, model) for element in value]


def _read_dict(value: Any, default: dict[str, Any]) -> dict[str, Any]:
    value = ast.literal_eval(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise TypeError("not a dict")
    return value


def _guess(value: str) -> Any:
    """A literal where the text is one, else the text."""
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value


def command(name: str, parameters: Mapping[str, Any], fresh: bool = False) -> str:
    """The command that makes the report again."""
    words = [f"{key}={','.join(map(str, value)) if isinstance(value, (list, tuple)) else value}" for key, value in parameters.items()]
    return " ".join(["workbench report", shlex.quote(name), *(f"-p {shlex.quote(word)}" for word in words), *(["--fresh"] if fresh else [])])
