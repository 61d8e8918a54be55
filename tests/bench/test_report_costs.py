"""What notebooks and workers cost: the script is the notebook's, both do the same, and the sentences say what was measured."""

import json

import pandas as pd
import pytest
from report.conftest import write_notebook

from workbench.bench.reports import notebook_overhead, plain_script, say_gain, say_overhead, worker_gain
from workbench.errors import WorkbenchError
from workbench.report import Page

MARK = "from pathlib import Path\nwith Path(runs).with_suffix('.log').open('a') as log:\n    log.write(f'{word} ')"


@pytest.fixture
def notebooks(tmp_path):
    """A folder with a notebook that notes each execution."""
    write_notebook(tmp_path / "notebooks", "a", "# A", MARK, "len(word)", parameters='word = "as it is"\nruns = "runs"')
    return tmp_path / "notebooks"


def test_the_script_is_the_notebooks_code_with_the_values_given(notebooks):
    script = plain_script(notebooks / "a.ipynb", {"word": "given"})
    assert script.startswith("word = 'given'\nruns = 'runs'\n") and script.endswith("len(word)\n") and "# A" not in script
    compile(script, "script", "exec")


def test_script_and_page_run_the_same_in_turn(notebooks, tmp_path):
    log = tmp_path / "log.txt"
    cells = json.loads((notebooks / "a.ipynb").read_text())
    cells["cells"][2]["source"] = f"open({str(log)!r}, 'a').write(word + ' ')"
    (notebooks / "a.ipynb").write_text(json.dumps(cells))
    times = notebook_overhead(notebooks / "a.ipynb", {"word": "same"}, rounds=1)
    assert log.read_text().split() == ["same"] * 4
    assert len(times) == 1 and times["page"].iloc[0] > times["script"].iloc[0] > 0


def test_a_script_that_fails_is_no_measurement(tmp_path):
    write_notebook(tmp_path / "notebooks", "a", "# A", "1 / 0", parameters='runs = "runs"')
    with pytest.raises(WorkbenchError, match="the script of a failed: ZeroDivisionError"):
        notebook_overhead(tmp_path / "notebooks" / "a.ipynb", rounds=1)


def test_every_number_of_workers_begins_with_no_runs(notebooks):
    times = worker_gain("trial", {"word": "x"}, workers=(1, 1), pages=[Page("a")], notebook_dir=notebooks)
    assert list(times["workers"]) == [1, 1] and (times["failed"] == 0).all() and (times["seconds"] >= times["longest"]).all()


def test_sentences_say_what_was_measured():
    times = pd.DataFrame({"round": [0, 1, 2], "script": [5.0, 5.0, 5.0], "page": [7.0, 8.0, 10.0]})
    assert say_overhead(times) == "script 5.0 s, page 8.0 s: 3.0 s more (2.0 to 5.0 s in 3 rounds; at most 4 s are allowed)"
    gain = pd.DataFrame({"workers": [1, 2], "seconds": [90.0, 50.0], "failed": 0, "longest": [30.0, 40.0]})
    assert say_gain(gain) == "1 worker 90 s (longest page 30 s), 2 workers 50 s (longest page 40 s): 1.80 times as fast (at least 1.6 is wanted)"
