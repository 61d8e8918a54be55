"""Report files: what they may say, the pages that come of it, and errors that name the line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.errors import ConfigError
from workbench.report import find_report, read_report, report_files, run_report
from workbench.report.files import ReportFile
from workbench.report.inputs import data_hash, page_key, texts


@pytest.fixture
def house(make_notebook: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with notebooks and reports, which the workbench takes for its own."""
    make_notebook("many", "# Many", "print(method, seeds)", parameters='method = "lf_dnn"\nepochs = 3\nseeds = 5')
    make_notebook("one", "# One", "print(seed)", parameters="seed = 0\nepochs = 2")
    (tmp_path / "reports").mkdir()
    monkeypatch.setenv("WORKBENCH_NOTEBOOKS", str(tmp_path / "notebooks"))
    return tmp_path


def written(house: Path, text: str) -> Path:
    """A report file of the house."""
    path = house / "reports" / "mine.yaml"
    path.write_text(text)
    return path


def pages(house: Path, text: str) -> list[tuple[str, dict]]:
    """Name and values of the pages of a report file."""
    return [(page.name, dict(page.parameters)) for page in read_report(written(house, text)).expand(house / "notebooks")]


def test_a_grid_becomes_a_page_for_each_combination(house: Path) -> None:
    found = pages(house, "pages:\n  - one\n  - notebook: many\n    grid: {method: [lf_dnn, constraint.low_rank], epochs: [1, 2]}\n    seeds: 2")
    assert found == [
        ("one", {}),
        ("many-lf_dnn-epochs-1", {"seeds": 2, "method": "lf_dnn", "epochs": 1}),
        ("many-lf_dnn-epochs-2", {"seeds": 2, "method": "lf_dnn", "epochs": 2}),
        ("many-constraint.low_rank-epochs-1", {"seeds": 2, "method": "constraint.low_rank", "epochs": 1}),
        ("many-constraint.low_rank-epochs-2", {"seeds": 2, "method": "constraint.low_rank", "epochs": 2}),
    ]


def test_seeds_are_a_number_for_some_notebooks_and_pages_for_others(house: Path) -> None:
    text = "seeds: 3\npages:\n  - many\n  - {notebook: one, seeds: [4, 7]}\n  - {notebook: many, label: more, seeds: [0, 1]}\n  - {notebook: one}"
    assert pages(house, text) == [
        ("many", {"seeds": 3}),
        ("one-seed-4", {"seed": 4}),
        ("one-seed-7", {"seed": 7}),
        ("many-more", {"seeds": 2}),
        ("one", {}),
    ]
    with pytest.raises(ConfigError, match=r"many cannot take the seeds \[4, 7\]"):
        pages(house, "pages: [{notebook: many, seeds: [4, 7]}]")
    text = "parameters: {epochs: 1, seeds: 4, method: mfn}\nseeds: 3\npages: [many, {notebook: one, parameters: {epochs: 9}}]"
    assert pages(house, text) == [("many", {"epochs": 1, "seeds": 4, "method": "mfn"}), ("one", {"epochs": 9})]


def test_limits_hold_for_all_pages_but_those_with_their_own(house: Path) -> None:
    report = read_report(written(house, "minutes: 30\nmemory_gb: 4\npages: [one, {notebook: many, minutes: 2, memory_gb: 1.5, about_seconds: 9}]"))
    found = [(page.minutes, page.memory_gb, page.about_seconds) for page in report.expand(house / "notebooks")]
    assert found == [(30, 4, 0), (2, 1.5, 9)]


@pytest.mark.parametrize(
    ("text", "what", "where", "expected"),
    [
        ("pages:\n  - one\nminuts: 3", "unknown field `minuts`. Did you mean minutes", "mine.yaml line 3", "one of title, about"),
        ("pages:\n  - notebook: one\n    gird: {}", "unknown field `pages.0.gird`. Did you mean grid", "mine.yaml line 3", "one of notebook, label"),
        ("title: x", "the field `pages` is missing", "mine.yaml", "`pages:`"),
        ("pages: [one]\nminutes: 0", "the field `minutes` = 0 is not right", "mine.yaml line 2", "greater than 0"),
        ("pages: []", "the field `pages` is not right", "mine.yaml line 1", "at least 1 item"),
        ("pages:\n  - {notebook: one, grid: {seed: []}}", "the field `pages.0.grid.seed` is not right", "mine.yaml line 2", "at least 1 item"),
        ("pages:\n  - {notebook: one, seeds: 0}", "the field `pages.0.seeds` = 0 is not right", "mine.yaml line 2", "greater than or equal to 1"),
        ("pages:\n  - {notebook: one, seeds: x}", "the field `pages.0.seeds` = 'x' is not right", "mine.yaml line 2", "integer"),
        ("pages:\n  - notebook: one\n    parameters: {seed: 1}\n    grid: {seed: [1]}", "the field `pages.0`", "line 2", "seed stands under"),
        ("pages: [one]\npages: [many]", "the key `pages` stands twice", "mine.yaml line 2", "line 1"),
        ("pages: [one", "the report file is not YAML", "mine.yaml line", "key: value"),
        ("- one", "the report file is not a mapping", "mine.yaml line 1", "key: value"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(house: Path, text: str, what: str, where: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_report(written(house, text))
    assert what in caught.value.what and where in caught.value.where and expected in caught.value.expected


def test_what_a_notebook_cannot_do_is_named(house: Path) -> None:
    with pytest.raises(ConfigError, match="the notebook man is not there. Did you mean many"):
        pages(house, "pages: [man]")
    with pytest.raises(ConfigError, match="two pages are called one"):
        pages(house, "pages: [one, {notebook: one, parameters: {epochs: 1}}]")
    written(house, "pages: [{notebook: one, parameters: {epoch: 1}}]")
    with pytest.raises(ConfigError, match='unknown parameter "epoch". Did you mean epochs'):
        run_report("mine", out=house / "out", quiet=True)


def test_a_report_is_found_by_name_by_path_and_by_its_only_notebook(house: Path) -> None:
    path = written(house, "pages: [one]")
    assert report_files() == {"mine": path}
    for name in ("mine", str(path)):
        found = find_report(name)
        assert (found[0], [page.name for page in found[1]], found[2]) == ("mine", ["one"], house / "notebooks")
    assert [page.name for page in find_report("many")[1]] == ["many"]
    with pytest.raises(ConfigError, match='unknown report "mien". Did you mean mine') as caught:
        find_report("mien")
    assert caught.value.expected == "one of mine, many, one"
    with pytest.raises(ConfigError, match=r"the report file cannot be read: .*No such file"):
        find_report("nowhere.yaml")


def test_a_file_may_bring_its_own_notebooks(house: Path, make_notebook: Callable) -> None:
    lab = house / "lab"
    (house / "notebooks").rename(lab)
    path = lab / "report.yaml"
    path.write_text("title: Ours\nnotebooks: .\npages: [one]")
    result = run_report(str(path), out=house / "out", quiet=True, workers=1)
    assert (result.name, result.exit_code) == ("report", 0) and result.index == house / "out" / "report" / "index.html"


def test_every_field_is_described() -> None:
    schema = ReportFile.model_json_schema()
    for model in (schema, schema["$defs"]["Entry"]):
        lacking = [name for name, field in model["properties"].items() if not field.get("description") and name != "pages"]
        assert lacking == []


# What decides a page


def test_a_changed_data_set_changes_the_key_of_the_pages_that_name_it(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "data"))
    notebook = house / "notebooks" / "one.ipynb"

    def keys() -> list[str]:
        named = ({"dataset": "mosi_utterance"}, {"datasets": ["opinions/starved", "mosi_utterance"]}, {"dataset": "opinions/starved"})
        return [page_key(notebook, parameters, house) for parameters in named]

    before = keys()
    assert keys() == before and len(set(before)) == 3
    (tmp_path / "data" / "mosi_utterance").mkdir(parents=True)
    from workbench.data.card import card

    source = tmp_path / "data" / card("mosi_utterance").sources[0].path
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("other content")
    after = keys()
    assert [old != new for old, new in zip(before, after, strict=True)] == [True, True, False]


def test_a_named_folder_counts_but_where_runs_are_kept_does_not(house: Path) -> None:
    notebook, runs = house / "notebooks" / "one.ipynb", house / "runs"
    (runs / "a").mkdir(parents=True)
    before = [page_key(notebook, {key: "runs"}, house) for key in ("folder", "runs")]
    (runs / "a" / "metrics.json").write_text("{}")
    (runs / ".b.part").mkdir()
    (runs / ".b.part" / "state.pt").write_text("on its way")
    after = [page_key(notebook, {key: "runs"}, house) for key in ("folder", "runs")]
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, True]
    (runs / ".b.part" / "state.pt").write_text("further on its way")
    assert page_key(notebook, {"folder": "runs"}, house) == after[0]


def test_names_are_found_wherever_they_stand(tmp_path: Path) -> None:
    assert list(texts({"a": ["x", {"b": ("y",)}], "c": 3, "d": "z"})) == ["x", "y", "z"]
    assert data_hash("nothing of the kind", tmp_path) == "" and data_hash("", tmp_path) == ""
    assert data_hash("opinions/starved", tmp_path)
