"""Parameters: read from the tagged cell, converted, refused before anything runs."""

import json
from pathlib import Path

import pytest

from workbench.errors import ConfigError
from workbench.report.catalogue import found_notebook, notebook_folder
from workbench.report.parameters import converted, parameters_for, read_defaults


def notebook(folder: Path, name: str, source: str, tags: tuple[str, ...] = ("parameters",)) -> Path:
    """A notebook of one code cell."""
    cell = {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source.splitlines(keepends=True), "outputs": [], "execution_count": None}
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}))
    return path


def test_defaults_are_read_with_their_types(tmp_path: Path) -> None:
    source = "seeds = 5  # how many\nrate: float = 1e-3\nnames = ['a', 'b']\ndataset = 'a # b'\nlimit = None\noffset = -1\nlong = [\n  1,\n  2,\n]"
    expected = {"seeds": 5, "rate": 1e-3, "names": ["a", "b"], "dataset": "a # b", "limit": None, "offset": -1, "long": [1, 2]}
    assert read_defaults(notebook(tmp_path, "n", source)) == expected


@pytest.mark.parametrize("source", ["epochs = 10\nwarmup = epochs // 2", "import os", "a, b = 1, 2", "x: int"])
def test_a_derived_default_is_refused(tmp_path: Path, source: str) -> None:
    with pytest.raises(ConfigError, match="a parameter is not a literal"):
        read_defaults(notebook(tmp_path, "n", source))


def test_a_parameters_cell_that_is_no_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the parameters cell cannot be read"):
        read_defaults(notebook(tmp_path, "n", "%matplotlib inline"))


def test_a_missing_tag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lesson has no cell tagged `parameters`"):
        read_defaults(notebook(tmp_path, "lesson", "seeds = 5", tags=()))


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_file_that_is_no_notebook_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "n.ipynb").write_text(text)
    with pytest.raises(ConfigError, match=r"n\.ipynb is not a notebook"):
        read_defaults(tmp_path / "n.ipynb")


def test_each_notebook_gets_only_what_it_knows(tmp_path: Path) -> None:
    notebooks = [notebook(tmp_path, "a", "seeds = 5\nwidth = 1.5"), notebook(tmp_path, "b", "seeds = [0, 1]")]
    assert parameters_for(notebooks, {"seeds": "3", "width": 2}) == {"a": {"seeds": 3, "width": 2.0}, "b": {"seeds": [3]}}


def test_an_unknown_parameter_names_the_near_and_the_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='unknown parameter "sedes". Did you mean seeds') as caught:
        parameters_for([notebook(tmp_path, "a", "seeds = 5\nwidth = 1")], {"sedes": "3"})
    assert caught.value.expected == "one of seeds, width"


@pytest.mark.parametrize(
    ("value", "default", "expected"),
    [
        ("3", 5, 3),
        (3.0, 5, 3),
        ("1e-3", 0.1, 1e-3),
        (1, 0.1, 1.0),
        ("yes", False, True),
        ("False", True, False),
        ("a,b", ["x"], ["a", "b"]),
        ("1, 2", [0], [1, 2]),
        ("[1, 2]", [0], [1, 2]),
        ("0.5,1", [1, 0.5], [0.5, 1.0]),
        ("1,2", (0,), (1, 2)),
        ("a,1", [], ["a", 1]),
        ("", ["x"], []),
        ("3", "text", "3"),
        ("0.5", None, 0.5),
        ("mosi", None, "mosi"),
        (7, None, 7),
        ('{"a": 1}', {}, {"a": 1}),
    ],
)
def test_values_take_the_type_of_the_default(value: object, default: object, expected: object) -> None:
    read = converted("name", value, default)
    assert read == expected and type(read) is type(expected)


@pytest.mark.parametrize(
    ("value", "default", "expected"),
    [
        ("three", 5, "a whole number"),
        ("0.5", 5, "a whole number"),
        (True, 5, "a whole number"),
        (0.5, 5, "a whole number"),
        ("much", 0.1, "a number"),
        (True, 0.1, "a number"),
        ("maybe", True, "yes or no"),
        (3, "text", "text"),
        ("a,b", [1], "a whole number"),
        ("[1, 2", [0], "values with commas"),
        ("3", {}, "a dict"),
    ],
)
def test_values_that_cannot_be_read_are_refused(value: object, default: object, expected: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        converted("name", value, default)
    assert caught.value.expected.startswith(expected)


def test_a_missing_notebook_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    notebook(tmp_path, "a", "")
    with pytest.raises(ConfigError, match="the notebook b is not there") as caught:
        found_notebook(tmp_path, "b")
    assert caught.value.expected == "one of a"


def test_the_folder_of_notebooks_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_NOTEBOOKS", str(tmp_path))
    assert notebook_folder() == tmp_path
    monkeypatch.delenv("WORKBENCH_NOTEBOOKS")
    assert notebook_folder().name == "notebooks"
