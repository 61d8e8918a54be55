"""Each sample's part: their mean is the metric that the runs print."""

import numpy as np
import pytest
import torch

from workbench.data.batch import TaskSpec
from workbench.errors import ConfigError
from workbench.recording import prediction_table
from workbench.sample_scores import KINDS, by_sample, nearest
from workbench.tasks import make_task, metrics_of

TASKS = {
    "mosi": TaskSpec("regression", low=-3, high=3),
    "sims": TaskSpec("regression", low=-1, high=1),
    "classes": TaskSpec("multiclass", classes=("a", "b", "c")),
    "labels": TaskSpec("multilabel", classes=("a", "b")),
}


def drawn(spec: TaskSpec) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions and truth, with exact zeros, halves and values on cuts among them."""
    random = torch.Generator().manual_seed(0)
    if spec.kind == "regression":
        target = (torch.randint(-6, 7, (200,), generator=random) / 6 * spec.high).round(decimals=1)
        return target + torch.randn(200, generator=random).round(decimals=1) * spec.high / 2, target
    said = torch.randn(200, len(spec.classes), generator=random)
    if spec.kind == "multiclass":
        return said, torch.randint(0, 3, (200,), generator=random)
    return said, torch.randint(0, 2, (200, 2), generator=random).float()


@pytest.mark.parametrize("name", TASKS)
def test_the_mean_over_samples_is_the_metric(name):
    spec = TASKS[name]
    said, target = drawn(spec)
    scores = make_task(spec).metrics(said, target)
    kept = prediction_table(said, target, [str(i) for i in range(200)], spec)
    means = [metric for metric in KINDS[spec.kind] if metric in scores]
    assert means
    for metric in means:
        parts = by_sample(metric, kept["prediction"].values, kept["target"].values, spec)
        assert parts.shape == (200,)
        assert np.nanmean(parts) == pytest.approx(scores[metric], abs=1e-6), metric


def test_what_is_no_mean_is_refused_and_has_a_near_one():
    mosi, classes = TASKS["mosi"], TASKS["classes"]
    with pytest.raises(ConfigError, match="corr is not a mean over samples"):
        by_sample("corr", np.zeros(2), np.zeros(2), mosi)
    assert [nearest(name, mosi) for name in ("acc7", "corr", "f1_non0")] == ["acc7", "mae", "acc2_non0"]
    assert [nearest(name, classes) for name in ("accuracy", "f1_macro")] == ["accuracy", "accuracy"]
    assert nearest("map", TASKS["labels"]) == "accuracy"
    for spec in TASKS.values():
        assert {nearest(metric, spec) for metric in metrics_of(spec)} <= set(KINDS[spec.kind])
