"""Small notebooks that the tests make, and one report of them that several tests look at."""

import io
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from workbench.report import Page, run_report
from workbench.report.making import ReportResult

FIGURES = """
import pandas as pd
from workbench.figures import gradient_magnitude, scores_over_seeds, score_table, show, unimodal_and_joint
places = [(v, s, e, i) for v in ("lf_dnn", "lf_dnn + b_fusion") for s in range(seeds) for e in range(1, 6) for i in (0, 1)]
rows = [(v, s, e, ["text", "audio"][i], 10.0 ** -i + s / 100) for v, s, e, i in places]
frame = pd.DataFrame(rows, columns=["variant", "seed", "epoch", "modality", "value"])
show(gradient_magnitude(frame))
scores = pd.DataFrame([("m", "text", "alone", s, .8 + s / 100) for s in range(3)], columns=["variant", "label", "kind", "seed", "value"])
show(unimodal_and_joint(scores, metric="accuracy", ceiling={"all": .9}))
show(scores_over_seeds(scores, "accuracy"))
"""
HEADLINE = """
from workbench.report import headline
headline(f"Text .800 ± .010 <b> (n = {seeds}).", score_table(scores.assign(metric="accuracy"), metrics=["accuracy"]))
"""
FAILING = """
from workbench.errors import DataError
raise DataError("audio has 72 columns, the card says <73>", where="train.npz", expected="(n, 73)", do="workbench data check x")
"""
MISSING = 'from workbench.errors import MissingDataError\nraise MissingDataError("mosi is not here", do="workbench data fetch mosi")'


def write_notebook(folder: Path, name: str, *cells: str, parameters: str = "seeds = 2") -> None:
    """A notebook whose cells are code, or text where they start with #."""
    made = [new_markdown_cell(cell) if cell.startswith("#") else new_code_cell(cell.strip()) for cell in cells]
    made.insert(1, new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=made, metadata={"kernelspec": kernel}), folder / f"{name}.ipynb")


@pytest.fixture
def make_notebook(tmp_path: Path) -> Callable[..., None]:
    """Writes a notebook into this test's own folder."""
    return lambda name, *cells, **options: write_notebook(tmp_path / "notebooks", name, *cells, **options)


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., ReportResult]:
    """Runs a report of this test's own notebooks."""

    def run(*notebooks: str | Page, **options: object) -> ReportResult:
        options = {"parameters": {}, "stream": io.StringIO(), "out": tmp_path / "reports", "workers": 1} | options
        options = options | ({"workers": None} if "scheduler" in options or "gpus" in options else {})
        return run_report("trial", notebooks=list(notebooks), notebook_dir=tmp_path / "notebooks", **options)

    return run


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReportResult, str]:
    """A report of three notebooks, one fine, one failing, one whose data is missing; and what the terminal showed."""
    folder, stream = tmp_path_factory.mktemp("whole"), io.StringIO()
    text = "## Look\n\n<details><summary>Answer</summary>Less.</details>\n\n[paper](https://example.org/paper)"
    write_notebook(folder / "notebooks", "00_good", "# The **puzzle**", text, FIGURES, HEADLINE, 'print("<i>printed</i>")\nseeds')
    write_notebook(folder / "notebooks", "01_bad", "# The lesson", "print('before', seeds)", FAILING, "print('after')")
    write_notebook(folder / "notebooks", "02_missing", "# Real data", MISSING)
    names = ["00_good", "01_bad", "02_missing"]
    options = {"notebooks": names, "notebook_dir": folder / "notebooks", "stream": stream, "data": ["mosi is not here"]}
    return run_report("trial", parameters={"seeds": "3"}, out=folder / "reports", **options), stream.getvalue()
