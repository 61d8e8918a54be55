"""Notebooks in worker processes: shares of the machine, limits, and what is left when a worker or the driver is killed."""

import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench import surroundings
from workbench.errors import ConfigError, StorageError
from workbench.report import Page
from workbench.report.crew import Executed, Here, Job, News, say_death, share_of_cores
from workbench.report.making import ReportResult
from workbench.report.run import default_workers

SHARE = "import os\nprint({key: os.environ.get(key) for key in ('OMP_NUM_THREADS', 'WORKBENCH_WORKERS', 'CUDA_VISIBLE_DEVICES')})"
FINDING = "from workbench.report import headline\nheadline(f'{len(word)} letters in {word}.')"


def printed(result: ReportResult, name: str) -> str:
    """What the notebook of a page printed."""
    cells = json.loads((result.index.parent / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    return "".join(text for cell in cells for output in cell.get("outputs", []) for text in output.get("text", []))


def words(result: ReportResult) -> dict[str, str]:
    """Each page's text, without what tells of its making: times, and links to neighbours stay."""
    texts = {page.name: (result.index.parent / f"{page.name}.html").read_text(encoding="utf-8") for page in result.pages}
    return {name: re.sub(r"\d+ \w{3} 20\d\d, \d\d:\d\d|\d+ (?:s|min)\b|\d+:\d\d", "", text) for name, text in texts.items()}


def is_running(process: int) -> bool:
    """True while there is such a process that has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait(is_true: Callable[[], bool], seconds: float = 60) -> None:
    """Waits until something is true.

    Raises:
        TimeoutError: it is not, after so long.
    """
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.05)


# Shares and names


def test_each_of_several_notebooks_gets_an_equal_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.report.crew.usable_cores", lambda: 8)
    assert [share_of_cores(1, None), share_of_cores(2, None), share_of_cores(3, None), share_of_cores(16, None), share_of_cores(1, 2)] == [
        0,
        4,
        2,
        1,
        2,
    ]
    job = Job("a", "", "", "", {}, minutes=1, memory_gb=None, cores=4, gpus=("3", "5"))
    assert job.environment("1") == {"OMP_NUM_THREADS": "4", "WORKBENCH_WORKERS": "4", "CUDA_VISIBLE_DEVICES": "5"}
    assert job.environment("2")["CUDA_VISIBLE_DEVICES"] == "3"
    assert Job("a", "", "", "", {}, minutes=1, memory_gb=None).environment() == {}


def test_default_workers_are_two_or_half_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in ((1, 1), (2, 2), (4, 2), (16, 8)):
        monkeypatch.setattr(surroundings, "usable_cores", lambda cores=cores: cores)
        assert default_workers() == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 0}, "0 workers"),
        ({"gpus": ["0"]}, "there is no GPU 0 on this machine"),
        ({"gpus": ["0"], "scheduler": "tcp://127.0.0.1:1"}, "--gpus and --scheduler"),
    ],
)
def test_a_crew_that_cannot_be_is_refused_before_anything_is_written(make_notebook, report, tmp_path, monkeypatch, options, said) -> None:
    monkeypatch.setattr(surroundings, "gpu_names", list)
    make_notebook("a", "# A", "1")
    with pytest.raises(ConfigError, match=said):
        report("a", **options)
    assert not (tmp_path / "reports").exists()


def test_gpus_are_named_once_and_are_there(make_notebook, report, monkeypatch) -> None:
    monkeypatch.setattr(surroundings, "gpu_names", lambda: ["H200", "H200"])
    make_notebook("a", "# A", SHARE)
    with pytest.raises(ConfigError, match="names 1 twice"):
        report("a", gpus=["1", "1"])
    with pytest.raises(ConfigError, match="no GPU 2 on this machine") as caught:
        report("a", gpus=["2"])
    assert caught.value.expected == "numbers of 0 (H200), 1 (H200)"
    assert "'CUDA_VISIBLE_DEVICES': '1'" in printed(report("a", gpus=["1"]), "a")


# In this process


def test_a_notebook_that_hangs_is_ended_and_the_next_one_made(make_notebook, report) -> None:
    make_notebook("a", "# A", "import os; print('before', os.getpid())", "import time; time.sleep(300)", "print('after')")
    make_notebook("b", "# B", "1")
    begun = time.monotonic()
    result = report(Page("a", minutes=0.05), "b")
    assert time.monotonic() - begun < 60
    assert [(page.status, page.error.get("cell")) for page in result.pages] == [("failed", 3), ("done", None)]
    assert result.pages[0].error["what"] == "the notebook was ended after 0.05 min" and result.exit_code == 1
    text = (result.index.parent / "a.html").read_text(encoding="utf-8")
    assert text.index("Failed in cell 3") < text.index("ended after 0.05 min") < text.index("minutes:") < text.index("before")
    assert not is_running(int(printed(result, "a").split()[1]))
    assert report(Page("a", minutes=0.05), "b").pages[1].is_kept


def test_a_notebook_that_eats_memory_is_ended_with_all_that_it_started(make_notebook, report) -> None:
    eat = "import time\nkept = []\nfor i in range(400):\n    kept.append(b'x' * 20_000_000)\n    time.sleep(0.02)"
    start = f"import os, subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', {eat!r}])\nprint(os.getpid(), child.pid)"
    make_notebook("a", "# A", start, "child.wait()")
    result = report(Page("a", memory_gb=0.7))
    assert (result.pages[0].status, result.pages[0].error["cell"]) == ("failed", 3)
    assert re.fullmatch(r"the notebook took \d+\.\d GB of memory and was ended", result.pages[0].error["what"])
    assert result.pages[0].error["parts"]["expected"] == "at most 0.7 GB"
    assert not any(is_running(int(process)) for process in printed(result, "a").split())


def test_two_reports_do_not_write_one_folder(make_notebook, report, tmp_path) -> None:
    again = f"""
from workbench.errors import WorkbenchError
from workbench.report import run_report
try:
    run_report("trial", out={str(tmp_path / "reports")!r}, notebooks=["b"], notebook_dir={str(tmp_path / "notebooks")!r}, quiet=True)
except WorkbenchError as error:
    print(error)
"""
    make_notebook("a", "# A", again)
    make_notebook("b", "# B", "1")
    result = report("a")
    assert "another process makes the report trial" in printed(result, "a") and "--out FOLDER" in printed(result, "a")
    assert report("b").exit_code == 0


def test_a_disk_that_fills_up_ends_the_report_and_keeps_its_pages(make_notebook, report, disk) -> None:
    filler = f"import shutil\nopen({str(disk.path / 'filler')!r}, 'wb').write(bytes(shutil.disk_usage({str(disk.path)!r}).free - 4_000))"
    make_notebook("a", "# A", "1")
    make_notebook("b", "# B", filler, "print('x' * 50_000)")
    with pytest.raises(StorageError, match=r"no space left while saving the report trial[\s\S]*Finished pages are kept[\s\S]*make room"):
        report("a", "b", out=disk.path)
    disk.make_room()
    make_notebook("b", "# B", "2")
    again = report("a", "b", out=disk.path)
    assert [page.is_kept for page in again.pages] == [True, False] and again.exit_code == 0
    assert not list(disk.path.rglob("*.part*"))


def test_a_folder_that_is_read_only_is_refused_before_anything_is_executed(make_notebook, report, tmp_path, frozen) -> None:
    make_notebook("a", "# A", f"open({str(tmp_path / 'executed')!r}, 'w')")
    with pytest.raises(StorageError, match=r"cannot be written: Read-only file system"):
        report("a", out=frozen(tmp_path / "frozen"))
    assert not (tmp_path / "executed").exists()


def test_a_crew_here_ends_its_kernel_when_it_is_stopped(make_notebook, tmp_path) -> None:
    make_notebook("a", "# A", f"import os, pathlib, time\npathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\ntime.sleep(100)")
    source, crew = tmp_path / "notebooks" / "a.ipynb", Here()
    crew.submit(Job("a", str(source), str(tmp_path / "done.ipynb"), str(tmp_path), {}, minutes=2, memory_gb=None))
    wait(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    crew.stop()
    wait(lambda: not is_running(int((tmp_path / "pid").read_text())), 5)
    assert News("a", "begun") in crew.poll(0) and not (tmp_path / "done.ipynb").exists()


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path) -> None:
    crew = Here()
    crew.submit(Job("a", str(tmp_path / "nowhere.ipynb"), str(tmp_path / "a.ipynb"), str(tmp_path), {}, minutes=1, memory_gb=None))
    wait(lambda: not crew.thread.is_alive())
    executed = crew.poll(0)[-1].content
    assert "does not see" in executed.error["what"] and "shared folder" in executed.error["parts"]["do"]


def test_a_death_is_told_in_words() -> None:
    assert say_death(OSError(28, "No space left on device"))["what"] == "OSError: [Errno 28] No space left on device"
    assert say_death(ValueError())["what"] == "ValueError: no message"
    assert "last words" in say_death(ValueError("x"), "Segmentation fault")["traceback"]


# In worker processes


@pytest.mark.slow
def test_two_workers_make_the_pages_that_one_makes(make_notebook, report, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(surroundings, "gpu_names", lambda: ["H200", "H200"])
    for name in ("a", "b", "c"):
        make_notebook(name, f"# {name}", FINDING, parameters=f'word = "{name * 3}"')
    make_notebook("d", "# Bad", "1 / 0")
    make_notebook("e", "# Share", SHARE, "import time; time.sleep(2)")
    make_notebook("f", "# Share", SHARE, "import time; time.sleep(2)")
    alone = report("a", "b", "c", "d")
    stream = io.StringIO()
    many = report("a", "b", "c", "d", "e", "f", out=tmp_path / "many", gpus=["0", "1"], cores=1, stream=stream)
    assert [page.status for page in many.pages] == ["done", "done", "done", "failed", "done", "done"]
    for name in ("a", "b", "c"):
        assert words(alone)[name].count("letters in") == words(many)[name].count("letters in")
        assert [page.sentences for page in alone.pages] == [page.sentences for page in many.pages[:4]]
    assert many.pages[3].error["what"] == "ZeroDivisionError: division by zero"
    shares = {printed(many, name).strip() for name in ("e", "f")}
    assert shares == {f"{{'OMP_NUM_THREADS': '1', 'WORKBENCH_WORKERS': '1', 'CUDA_VISIBLE_DEVICES': '{number}'}}" for number in (0, 1)}
    assert all(f"  running  {name}" in stream.getvalue() for name in "abcdef")
    assert all(page.is_kept for page in report("a", "b", "c", out=tmp_path / "many", workers=2).pages)


@pytest.mark.slow
def test_a_killed_workers_notebook_is_executed_again_and_one_that_kills_each_worker_fails(make_notebook, report, tmp_path) -> None:
    mark = tmp_path / "mark"
    once = f"""
import os, pathlib, signal, time
mark = pathlib.Path({str(mark)!r})
first = not mark.exists()
if first:
    mark.write_text(str(os.getpid()))
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
    mark.write_text("the orphan went on")
print("second time")
"""
    make_notebook("a", "# A", once)
    make_notebook("b", "# B", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)\nimport time; time.sleep(60)")
    make_notebook("c", "# C", "print('fine')")
    result = report("a", "b", "c", workers=2)
    assert [page.status for page in result.pages] == ["done", "failed", "done"]
    assert "second time" in printed(result, "a")
    wait(lambda: not is_running(int(mark.read_text())), 10)
    assert "killed 3 times" in result.pages[1].error["what"]


DRIVER = """
import sys
from workbench.report import run_report

if __name__ == "__main__":
    out, notebooks, workers = sys.argv[1:4]
    result = run_report("trial", out=out, notebook_dir=notebooks, notebooks=["a", "b", "c"], workers=int(workers), quiet=True)
    print([page.is_kept for page in result.pages])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "number"), [(1, signal.SIGKILL), (2, signal.SIGKILL), (2, signal.SIGINT)])
def test_a_driver_that_is_killed_goes_on_to_the_same_pages(make_notebook, report, tmp_path, workers, number) -> None:
    hold = f"""
import os, pathlib, time
pathlib.Path({str(tmp_path)!r}, f"held-{{os.getpid()}}").touch()
while pathlib.Path({str(tmp_path / "hold")!r}).exists():
    time.sleep(0.1)
"""
    make_notebook("a", "# A", FINDING, parameters='word = "first"')
    make_notebook("b", "# B", hold, FINDING, parameters='word = "second"')
    make_notebook("c", "# C", FINDING, parameters='word = "third"')
    (tmp_path / "hold").touch()
    (tmp_path / "driver.py").write_text(DRIVER)
    command = [sys.executable, tmp_path / "driver.py", tmp_path / "killed", tmp_path / "notebooks", str(workers)]
    record = tmp_path / "killed" / "trial" / "pages" / "a.json"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, text=True) as driver:
        wait(lambda: record.exists() and list(tmp_path.glob("held-*")))
        driver.send_signal(number)
        error = driver.communicate(timeout=30)[1]
    kernels = [int(path.name.partition("-")[2]) for path in tmp_path.glob("held-*")]
    wait(lambda: not any(map(is_running, kernels)), 15)
    if number == signal.SIGINT:
        assert (driver.returncode, error) == (0, "")
    (tmp_path / "hold").unlink()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    kept = json.loads(done.stdout.lower())
    assert kept[:2] == [True, False], done.stderr
    unbroken = report("a", "b", "c")
    again = report("a", "b", "c", out=tmp_path / "killed")
    assert all(page.is_kept for page in again.pages)
    assert words(again) == words(unbroken)
    assert not list((tmp_path / "killed").rglob("*.part*"))


def test_a_scheduler_that_does_not_answer_is_refused(make_notebook, report, monkeypatch) -> None:
    monkeypatch.setattr("workbench.clusters.WAIT_SECONDS", 0.5)
    make_notebook("a", "# A", "1")
    with pytest.raises(ConfigError, match="no dask scheduler answers at tcp://127.0.0.1:9"):
        report("a", scheduler="tcp://127.0.0.1:9")


def test_what_a_crew_gives_back_travels() -> None:
    import pickle

    job = Job("a", "s", "t", "f", {"x": [1]}, minutes=1, memory_gb=2.0, cores=1, gpus=("0",))
    assert pickle.loads(pickle.dumps(job)) == job and pickle.loads(pickle.dumps(Executed(1.0, {"what": "x"}))).error == {"what": "x"}
