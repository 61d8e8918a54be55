"""Every method learns: from the best single modality most of the way to the best attainable score, on data of which both are known.

The cheap methods run always; all of them, for about an hour, with WORKBENCH_LEARNING=1.
"""

import os

import numpy as np
import pytest
import torch

from workbench import methods
from workbench.data import load
from workbench.data.batch import Dataset
from workbench.fitting import fit
from workbench.tasks import make_task
from workbench.taxonomy import BUDGET

METRIC = "corr"
"""It has no threshold, so a few thousand samples tell it to one hundredth."""

ALL = os.environ.get("WORKBENCH_LEARNING") == "1"
NAMES = sorted(methods.METHODS) if ALL else ("encoder_decoder.hierarchical", "graph.modalities")
SAMPLES, SHARE = (8000, 0.8) if ALL else (3000, 0.7)
"""Training samples, and the share of the way from the best single modality, trained alike, to the best that anybody can do on the test samples."""


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load("opinions/balanced", train=SAMPLES, test=2000, align_to="text")


def learned(name, data, folder):
    """The score of the epoch that was best on valid, on test."""
    fields = methods.method(name).Config.model_fields
    config = {"dropout": 0.3} if "dropout" in fields else {}
    config |= {"encoder": "mean_mlp"} if "encoder" in fields else {}
    run = fit(name, data, config=config, plan={**BUDGET, "learning_rate": 1e-3}, balance="none", preset="none", runs=folder, reuse=True)
    return run.metrics["test"][METRIC]


@pytest.fixture(scope="module")
def bounds(data, tmp_path_factory) -> tuple[float, float]:
    """The best single modality, and the best attainable."""
    folder = tmp_path_factory.mktemp("alone")
    test = data["test"]
    best = torch.from_numpy(np.asarray(test.evidence["best_prediction"], dtype=np.float32))
    return max(learned("lf_dnn", data.select(name), folder) for name in data.modalities), make_task(data.spec.task).metrics(best, test.target)[METRIC]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_learns_what_no_modality_tells_alone(name, data, bounds, tmp_path):
    low, high = bounds
    assert low + SHARE * (high - low) < learned(name, data, tmp_path) < high + 0.02
