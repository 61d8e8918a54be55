"""Every notebook keeps the manners, runs from top to bottom at a tiny size, and becomes pages that a browser draws from file://."""

import ast
import importlib.util
import io
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from workbench.data.card import card, cards
from workbench.report import find_report, report_files, run_report
from workbench.report.making import ReportResult
from workbench.report.page import relink
from workbench.report.parameters import read_defaults

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = find_report("full").pages
HERE = [page.name for page in PAGES if page.parameters.get("dataset") not in ("mosi", "sims")]
"""The pages that a machine without downloaded data has."""
LONGEST = 14
"""Lines of the longest code cell."""

TINY = {"datasets": ["opinions/starved", "digits"], "seeds": 2, "epochs": 2, "map_seeds": 2, "map_audio": [0.95], "map_names": [10]}
TINY |= {"has_pretrained_text": False, "modalities": [2, 3], "lengths": [8, 16], "rates": [0.0, 1.0], "noise": [0.0, 1.0], "synergy_samples": 200}
TINY |= {"opinions_samples": 60, "lags": [0.2, 1.0], "informativeness": [0.0, 0.8]}
TINY |= {"layer_range": [1, 2]}
TINY |= {"more_methods": [], "rules": ["b_fusion", "uniform", "grad_norm"], "map_hardness": [0.95], "map_informativeness": [0.95]}
TINY |= {"idiosyncrasy": [0.0, 2.0], "dial_epochs": 1, "windows": [4, 0]}
TINY |= {"papers": ["adaptive_weight_fusion", "mmiln", "delta_attention"], "balance_epochs": 2, "stage_epochs": 2}
TINY |= {"compared": ["lf_dnn", "graph.modalities"], "draws": 200}
TINY |= {"over": {"hidden_size": [4, 8], "plan.learning_rate": [1e-3, 1e-2]}, "workers": 1}

_path = Path(__file__).parent / "report" / "test_screenshot.py"
_spec = importlib.util.spec_from_file_location("report_screenshot", _path)
screenshot = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(screenshot)
browser = screenshot.browser

each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    """The cells of one kind."""
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


# Manners, read from the files


def test_there_are_notebooks():
    assert [path.stem for path in PATHS][:3] == ["00_start_here", "01_modality_imbalance", "02_adaptive_weight_fusion"]


@each
def test_it_is_a_valid_notebook_of_format_4(path):
    nbformat.validate(nbformat.read(path, as_version=4))


@each
def test_the_first_cell_has_title_question_data_and_reading_time(path):
    first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    assert first["cell_type"] == "markdown"
    title, question, *rest = source(first).split("\n\n")
    assert re.fullmatch(r"# \S.+\?|# \S.+", title)
    assert question.startswith("**")
    assert "?" in title + question
    assert "Data: " in source(first)
    assert re.search(r"[Rr]eading time \d+ minutes", "\n\n".join(rest))


@each
def test_the_parameters_are_one_early_cell_of_literals(path):
    tagged = [cell for cell in cells(path, "code") if "parameters" in tags(cell)]
    assert len(tagged) == 1
    assert cells(path, "code")[0]["source"] == tagged[0]["source"]
    for statement in ast.parse(source(tagged[0])).body:
        assert isinstance(statement, ast.Assign)
        ast.literal_eval(statement.value)
    # A notebook that trains keeps its runs where the reader says; one that trains nothing says so.
    assert ("runs" in read_defaults(path)) != ("trains nothing" in source(cells(path, "markdown")[0]))


@each
def test_it_is_stored_without_outputs(path):
    assert [cell for cell in cells(path, "code") if cell["outputs"] or cell["execution_count"] is not None] == []


@each
def test_no_logic_grows_in_it(path):
    for cell in cells(path, "code"):
        text = source(cell)
        assert len(text.splitlines()) <= LONGEST, text
        nodes = list(ast.walk(ast.parse(text)))
        assert not [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.While)], text
        assert not [node for node in nodes if isinstance(node, ast.If) and "cuda" in ast.unparse(node.test)], text
        assert "backward(" not in text, text  # a training loop


@each
def test_it_names_no_place_of_a_machine(path):
    found = [source(cell) for kind in ("code", "markdown") for cell in cells(path, kind)]
    assert [text for text in found if re.search(r"(?<![\w.)/:<])/[a-z]+/\w|[A-Z]:\\|~/", text)] == []


@each
def test_its_links_lead_somewhere(path):
    targets = [target for cell in cells(path, "markdown") for target in re.findall(r"\]\(([^)\s]+)\)", source(cell))]
    local = [target.partition("#")[0] for target in targets if not target.startswith(("http://", "https://", "#"))]
    assert [target for target in local if not (path.parent / target).exists()] == []


@each
def test_it_ends_with_what_was_seen_and_what_to_try(path):
    assert any(re.search(r"^ *headline\(", source(cell), re.MULTILINE) for cell in cells(path, "code"))
    last = source(cells(path, "markdown")[-1])
    assert "**Try**" in last
    assert "<details><summary>Answers</summary>" in last


@each
def test_its_data_sets_have_cards(path):
    defaults = read_defaults(path)
    named = [defaults["dataset"]] if "dataset" in defaults else defaults["datasets"]
    assert {name.partition("/")[0] for name in named} <= set(cards())


@each
def test_published_rows_that_it_asks_for_are_on_the_card(path):
    for cell in cells(path, "code"):
        nodes = list(ast.walk(ast.parse(source(cell))))
        values = {ast.unparse(node.targets[0]): node.value for node in nodes if isinstance(node, ast.Assign)}
        for call in (node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "studies.published"):
            # a list or a comprehension of literals, in the call or in the same cell
            dataset, methods = (eval(ast.unparse(values.get(ast.unparse(argument), argument)), {"__builtins__": {}}) for argument in call.args)
            assert set(methods) <= {row.method for row in card(dataset).published}


def test_every_notebook_is_in_the_full_report_and_executed_here():
    assert [path.stem for path in PATHS] == sorted({page.notebook for page in PAGES})


@pytest.mark.parametrize("name", sorted(report_files()))
def test_a_shipped_report_asks_for_what_its_notebooks_know_and_its_pages_are_executed_here(name):
    found = find_report(name)
    for page in found.pages:
        assert set(page.parameters) <= set(read_defaults(found.folder / f"{page.notebook}.ipynb"))
        assert page.parameters.get("dataset", "mosi") in cards()
    assert found.title and found.about
    assert {page.name for page in found.pages} <= {page.name for page in PAGES}


# From top to bottom


def test_links_of_a_notebook_become_links_of_its_page(tmp_path):
    for name in ("notebooks/01_a.ipynb", "notebooks/09_z.ipynb", "data_cards/mosi.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    links = ["01_a.ipynb#end", "09_z.ipynb", "../data_cards/mosi.md", "https://example.org/a.ipynb", "#here", "nowhere.md"]
    body = relink("".join(f'<a href="{link}">' for link in links), ["01_a"], tmp_path / "notebooks", tmp_path / "reports" / "trial")
    expected = ["01_a.html#end", "../../notebooks/09_z.ipynb", "../../data_cards/mosi.md", "https://example.org/a.ipynb", "#here", "nowhere.md"]
    assert re.findall(r'href="([^"]+)"', body) == expected


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ReportResult:
    """Every page of every report, as small as it goes."""
    folder = tmp_path_factory.mktemp("all-pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(folder / "data"))
        patch.setenv("OMP_NUM_THREADS", "1")
        # Trainings of a second or so: two more processes, each of which imports torch, cost more than they bring.
        patch.setenv("WORKBENCH_WORKERS", "1")
        parameters = {**TINY, "runs": str(folder / "runs")}
        return run_report("all_pages", notebooks=PAGES, parameters=parameters, out=folder / "reports", workers=1, stream=io.StringIO())


def page_of(report: ReportResult, notebook: str) -> tuple[Any, str]:
    """The record and the text of a notebook's first page."""
    record = next(page for page in report.pages if page.name.partition("-")[0] == notebook)
    return record, (report.index.parent / f"{record.name}.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_page_is_done(report):
    assert {page.name: page.error.get("traceback", page.error) for page in report.pages if page.status != "done"} == {}
    assert report.exit_code == 0
    assert [page.name for page in report.pages] == HERE


@pytest.mark.slow
@each
def test_it_was_run_with_the_parameters_given(report, path):
    record, _ = page_of(report, path.stem)
    known = read_defaults(path)
    assert record.parameters == {name: value for name, value in record.parameters.items() if name in known}
    assert record.parameters.get("epochs", 2) == 2


@pytest.mark.slow
@each
def test_every_figure_has_its_caption_and_the_finding_is_said(report, path):
    record, html = page_of(report, path.stem)
    assert record.figures >= 2
    drawn = sum("figures.show(" in line for cell in cells(path, "code") for line in source(cell).splitlines())
    assert record.figures >= drawn
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html, re.DOTALL)
    assert len(captions) >= record.figures
    assert all(re.search(r"\w{3}", caption) for caption in captions)
    assert record.headlines
    assert all(re.search(r"\d", sentence) for sentence in record.sentences)
    index = report.index.read_text(encoding="utf-8")
    assert f"{record.name}.html" in index


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index", *HERE])
def test_links_between_the_pages_lead_somewhere(report, name):
    html = (report.index.parent / f"{name}.html").read_text(encoding="utf-8")
    targets = [target for target in re.findall(r'<a [^>]*href="([^"#]+)[#"]', html) if not re.match(r"[a-z]+:", target)]
    assert [target for target in targets if not (report.index.parent / target).exists()] == []


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(screenshot.CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize("name", ["index", *HERE])
def test_it_opens_from_file_with_every_figure_drawn(browser, report, name):
    page, wrong = screenshot.opened(browser, report.index.parent / f"{name}.html", viewport={"width": 1200, "height": 900})
    page.wait_for_function("[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg') && plot.data.length)")
    screenshot.keep(page, f"all_pages_{name}")
    if name != "index":
        marks = ".scatterlayer .trace, .barlayer .trace, .heatmaplayer .hm, .violinlayer .trace, .boxlayer .trace"
        empty = page.evaluate(f"[...document.querySelectorAll('.plot')].filter(plot => !plot.querySelector('{marks}')).length")
        assert page.locator(".plot").count() >= 2
        assert empty == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
    assert wrong == []
    page.close()
