"""Several trials on one machine: its cores and its GPU are shared out, of several GPUs each worker has its own."""

import pytest
import torch

from workbench.errors import ConfigError
from workbench.sweeps import launch, trials
from workbench.sweeps.pools import own_device
from workbench.sweeps.trials import share_machine


@pytest.fixture
def machine(monkeypatch):
    """A machine of so many GPUs and cores; what is set there."""

    def made(gpus: int, cores: int = 8) -> dict[str, float]:
        done: dict[str, float] = {}
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share: done.update(memory=share))
        monkeypatch.setattr(torch, "set_num_threads", lambda count: done.update(threads=count))
        for module in (trials, launch):
            monkeypatch.setattr(module, "usable_cores", lambda: cores)
        return done

    return made


def test_trials_share_one_gpu_and_the_cores(machine):
    done = machine(gpus=1)
    share_machine(4)
    assert done == {"threads": 2, "memory": 0.25}
    done = machine(gpus=0)
    share_machine(16)
    assert done == {"threads": 1}, "no fewer than one thread, and no GPU to share"


def test_one_trial_at_a_time_has_all_there_is(machine):
    done = machine(gpus=1)
    share_machine(1)
    assert done == {}


def test_of_several_gpus_each_worker_has_its_own(machine):
    done = machine(gpus=2)
    assert [own_device(name) for name in ("0", "1", "2", "3")] == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    share_machine(2)
    assert "memory" not in done
    assert own_device("tcp://host:1") == "", "a worker that somebody else named"
    machine(gpus=1)
    assert own_device("3") == "", "the one that there is"


@pytest.mark.parametrize(("gpus", "expected"), [(0, 8), (1, 1), (2, 2)])
def test_without_a_number_there_is_one_worker_a_gpu_else_one_a_core(machine, gpus, expected):
    machine(gpus=gpus)
    assert launch.default_workers() == expected


def test_a_sweep_keeps_to_its_share_of_the_machine(monkeypatch):
    monkeypatch.setenv("WORKBENCH_WORKERS", "3")
    assert launch.default_workers() == 3
    monkeypatch.setenv("WORKBENCH_WORKERS", "0")
    with pytest.raises(ConfigError, match="WORKBENCH_WORKERS=0 is no number of processes"):
        launch.default_workers()
    monkeypatch.delenv("WORKBENCH_WORKERS")
    assert launch.default_workers() >= 1
