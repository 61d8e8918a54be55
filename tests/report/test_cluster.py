"""What runs over TCP on a scheduler whose workers come and go: the same numbers as in one process."""

import os
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from report.cluster import tcp_cluster
from sweeps.processes import living

from workbench.runs import load_all
from workbench.sweeps import sweep
from workbench.sweeps.trials import Outcome

pytestmark = pytest.mark.slow

PLAN = {"epochs": 10, "patience": 999, "probe_every": 0, "device": "cpu"}


def test_workers_come_die_and_come_again(tmp_path):
    with tcp_cluster(1, tmp_path / "cluster") as cluster:
        (first,) = cluster.workers().items()
        cluster.kill(first[0], with_nanny=False)
        assert list(cluster.workers()) == [first[0]]
        assert cluster.workers()[first[0]] != first[1]
        assert list(cluster.client.run(os.getpid).values()) == list(cluster.workers().values())
        assert cluster.add() == ["w1"]
        cluster.kill("w0")
        pids = cluster.workers()
        assert list(pids) == ["w1"]
        assert cluster.busy() == []
        assert cluster.client.submit(sum, [1, 2]).result(timeout=60) == 3
    assert not {first[1], *pids.values()}.intersection(int(folder.name) for folder, _, _ in living())


FINDING = "import time\ntime.sleep(1.5)\nfrom workbench.report import headline\nheadline(f'{len(word)} letters in {word}.')"


def test_a_sweep_and_a_report_at_once_while_a_worker_is_added_and_another_is_killed(toy_maker, make_notebook, report, tmp_path):
    options = {"seeds": 1, "plan": PLAN, "has_progress": False, "preset": "none", "folder": tmp_path}
    over, data = {"hidden_size": [3, 4, 5, 6, 7, 8, 9, 10]}, toy_maker(train=200, other=40)
    names = ("a", "bb", "ccc", "dddd")
    for name in names:
        make_notebook(name, f"# {name}", FINDING, parameters=f'word = "{name}"')
    with tcp_cluster(2, tmp_path / "cluster") as cluster, ThreadPoolExecutor(1) as beside:
        pages = beside.submit(report, *names, scheduler=cluster.address)
        killed, worked = [], set()

        def disturb(number: int, outcome: Outcome) -> None:
            worked.update(busy := cluster.busy())
            if not killed and busy:
                # One that is in the middle of something.
                killed.append(busy[0])
                cluster.kill(busy[0])
                cluster.add()

        far = sweep("lf_dnn", data, over, scheduler=cluster.address, on_trial=disturb, name="far", **options)
        made = pages.result(timeout=240)
        assert sorted({*killed, *cluster.workers()}) == ["w0", "w1", "w2"]
        assert "w2" in worked, "the worker that came later worked too"
    here = sweep("lf_dnn", data, over, workers=1, name="here", **options)
    columns = ["trial", "state", "hidden_size", "value", "sd", "n"]
    pd.testing.assert_frame_equal(far.trials()[columns], here.trials()[columns])
    pd.testing.assert_frame_equal(far.scores(), here.scores())
    assert len(load_all(far.path / "runs")) == 8
    assert not list((far.path / "runs").glob(".*"))
    assert [(page.status, page.sentences) for page in made.pages] == [("done", [f"{len(name)} letters in {name}."]) for name in names]
    assert all(page.is_kept for page in report(*names).pages), "made there, they are found here"
