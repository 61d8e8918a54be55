"""Pages with parameters of their own: which are made, which are left out, and what they are called."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.errors import ConfigError
from workbench.report import Page
from workbench.report.catalogue import settled
from workbench.report.making import ReportResult

OWN = Page("a", "far", {"dataset": "mosi"})


@pytest.fixture
def folder(make_notebook: Callable, tmp_path: Path) -> Path:
    """A folder with the notebooks `a` and `b`."""
    make_notebook("a", "# A", "1", parameters='dataset = "x"\nseeds = 3')
    make_notebook("b", "# B", "1", parameters="epochs = 3")
    return tmp_path / "notebooks"


def test_a_page_is_named_after_its_notebook_and_its_label() -> None:
    assert (Page("a").name, str(OWN)) == ("a", "a-far")


def test_a_page_whose_data_is_not_here_is_left_out_and_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.data.available", lambda name: False)
    pages, said = settled([Page("a"), OWN], folder, {})
    assert [page.name for page in pages] == ["a"]
    assert said == ["a-far is left out: mosi is not here (workbench data fetch mosi)"]
    with pytest.raises(ConfigError, match=r"the report has no page(.|\n)*mosi is not here"):
        settled([OWN], folder, {})


def test_a_page_whose_data_is_here_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.data.available", lambda name: name == "mosi")
    pages, said = settled([Page("a"), OWN, Page("b")], folder, {"seeds": "1"})
    assert [(page.name, page.parameters) for page in pages] == [("a", {"seeds": 1}), ("a-far", {"dataset": "mosi", "seeds": 1}), ("b", {})]
    assert said == []


def test_what_is_asked_for_wins_and_is_shown_once(folder: Path) -> None:
    pages, said = settled([Page("a"), OWN, Page("b", minutes=3, parameters={"epochs": 5})], folder, {"dataset": "digits", "epochs": "7"})
    assert [(page.name, page.parameters, page.minutes) for page in pages] == [("a", {"dataset": "digits"}, 120.0), ("b", {"epochs": 7}, 3)]
    assert said == ["a-far is left out: with dataset=digits it is a"]


def test_two_pages_of_one_notebook(make_notebook: Callable, report: Callable[..., ReportResult], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.data.available", lambda name: True)
    make_notebook("a", "# What is *in* it?", "print('it is', dataset, seed)", parameters='dataset = "here"\nseed = 0')
    found = report("a", Page("a", "other", {"dataset": "there"}), parameters={"seed": "3"})
    assert [(page.name, page.title, page.parameters) for page in found.pages] == [
        ("a", "What is in it?", {"seed": 3}),
        ("a-other", "What is in it? (other)", {"dataset": "there", "seed": 3}),
    ]
    texts = [(found.index.parent / f"{page.name}.html").read_text(encoding="utf-8") for page in found.pages]
    assert "it is here 3" in texts[0] and "it is there 3" in texts[1]
    assert 'href="a-other.html"' in texts[0]
    assert "What is in it? (other)" in found.index.read_text(encoding="utf-8")
    again = report("a", Page("a", "other", {"dataset": "there"}), parameters={"seed": "3"})
    assert all(page.is_kept for page in again.pages)


def test_a_page_with_a_parameter_that_its_notebook_does_not_know(folder: Path) -> None:
    with pytest.raises(ConfigError, match='unknown parameter "sead". Did you mean seed'):
        settled([Page("a", "other", {"sead": 1})], folder, {})


def test_a_notebook_that_is_not_there_names_the_near_one(folder: Path) -> None:
    with pytest.raises(ConfigError, match="the notebook aa is not there. Did you mean a") as caught:
        settled([Page("aa")], folder, {})
    assert caught.value.expected == "one of a, b"


def test_what_is_left_out_is_told_on_the_terminal_and_the_index(folder: Path, report: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.data.available", lambda name: False)
    stream = io.StringIO()
    found = report("a", OWN, stream=stream)
    assert "a-far is left out: mosi is not here" in stream.getvalue()
    assert "a-far is left out" in found.index.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["../elsewhere", "", ".hidden", "a\\b"])
def test_a_report_must_have_a_plain_name(folder: Path, name: str) -> None:
    from workbench.report import run_report

    with pytest.raises(ConfigError, match="cannot name a report"):
        run_report(name, notebooks=["a"], notebook_dir=folder)
