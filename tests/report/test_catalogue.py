"""Pages with parameters of their own: which are made, which are left out, and what they are called."""

from collections.abc import Callable

import pytest

from workbench.errors import ConfigError
from workbench.report import Page
from workbench.report.catalogue import find_notebooks, find_pages
from workbench.report.run import ReportResult

OWN = Page("a", "far", {"dataset": "mosi"}, needs="mosi")


def test_a_page_is_named_after_its_notebook_and_its_label() -> None:
    assert (Page("a").name, str(OWN)) == ("a", "a-far")


def test_a_page_whose_data_is_not_here_is_left_out_and_said() -> None:
    pages, said = find_pages("trial", ["a", OWN], {})
    assert [page.name for page in pages] == ["a"]
    assert said == ["a-far is left out: mosi is not here (workbench data fetch mosi)"]


def test_a_page_whose_data_is_here_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.data.available", lambda name: name == "mosi")
    assert [page.name for page in find_pages("trial", ["a", OWN], {"seed": 1})[0]] == ["a", "a-far"]


def test_what_is_asked_for_is_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.data.available", lambda name: True)
    pages, said = find_pages("trial", ["a", OWN], {"dataset": "digits"})
    assert [page.name for page in pages] == ["a"]
    assert said == ["a-far is left out: dataset=digits was asked for"]


def test_a_report_without_a_page_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"the report trial has no page(.|\n)*mosi is not here"):
        find_pages("trial", [OWN], {})
    with pytest.raises(ConfigError, match='unknown report "first_ligth"'):
        find_pages("first_ligth", None, {})


def test_the_catalogue_shows_data_twice_where_mosi_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.data.available", lambda name: True)
    names = [page.name for page in find_pages("first_light", None, {})[0]]
    assert names[-2:] == ["10_know_your_data", "10_know_your_data-mosi"]
    assert [path.stem for path in find_notebooks("first_light", None, None)][-2:] == ["10_know_your_data"] * 2


def test_two_pages_of_one_notebook(make_notebook: Callable, report: Callable[..., ReportResult]) -> None:
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


def test_a_page_with_a_parameter_that_its_notebook_does_not_know(make_notebook: Callable, report: Callable) -> None:
    make_notebook("a", "# A", "1", parameters="seed = 0")
    with pytest.raises(ConfigError, match='unknown parameter "sead". Did you mean seed'):
        report(Page("a", "other", {"sead": 1}))


def test_what_is_left_out_is_told_on_the_terminal_and_the_index(make_notebook: Callable, report: Callable) -> None:
    import io

    make_notebook("a", "# A", "1", parameters='dataset = "x"')
    stream = io.StringIO()
    found = report("a", OWN, stream=stream)
    assert "a-far is left out: mosi is not here" in stream.getvalue()
    assert "a-far is left out" in found.index.read_text(encoding="utf-8")
