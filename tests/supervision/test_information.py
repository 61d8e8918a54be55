"""MMIM's bound on the mutual information against its transcription and against what is known of Gaussians."""

import math

import numpy as np
import pytest
import torch
import xarray as xr
from reference import mmim as reference

from workbench import methods
from workbench.data.batch import Batch, Modality, TaskSpec
from workbench.data.views import View, apply
from workbench.fitting import fit
from workbench.model import Output
from workbench.plan import Plan
from workbench.supervision.information import LIMIT, RIDGE, ConditionalGaussian, InformationBound, mixture_entropy
from workbench.supervision.polarity import groups, label_group, neutral, sides
from workbench.training import training

TASKS = {
    "regression": TaskSpec("regression"),
    "multiclass": TaskSpec("multiclass", classes=("a", "b", "c")),
    "multilabel": TaskSpec("multilabel", classes=("a", "b")),
}
SIZES = {"words": 5, "voice": 3, "face": 4}


def given(task, rows, *, seed=0, missing=False):
    """A batch with labels and its representations; nothing else of it is looked at."""
    torch.manual_seed(seed)
    target = {
        "regression": torch.tensor([1.5, -2.0, 0.0, 3.0, -0.5, 2.0, -1.0, 0.5])[:rows],
        "multiclass": torch.tensor([0, 1, 2, 1, 0, 2, 1, 0])[:rows],
        "multilabel": torch.ones(rows, 2),
    }[task]
    mask = {name: torch.ones(rows, 1, dtype=torch.bool) for name in SIZES}
    if missing:
        mask["voice"][1::3] = False
        mask["words"][2] = False
    z = {name: torch.randn(rows, size, dtype=torch.float64, requires_grad=True) for name, size in SIZES.items()}
    batch = Batch({name: Modality(z[name][:, None].detach(), mask[name]) for name in SIZES}, target, torch.arange(rows))
    return Output(target, z, {}, target), batch


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_bound_meets_the_transcription_with_its_memory(task, missing):
    torch.manual_seed(3)
    bound = InformationBound(SIZES, reference="words", hidden_size=6, task=TASKS[task], weight=0.4, memory=5).double()
    kept = {name: [] for name in ("voice", "face")}
    for step, rows in enumerate((8, 3, 6)):
        output, batch = given(task, rows, seed=step, missing=missing)
        losses = bound(output, batch)
        group = label_group(batch.target, TASKS[task]).tolist()
        here = {name: batch[name].mask[:, 0].tolist() for name in SIZES}
        z = {name: value.detach().numpy() for name, value in output.representations.items()}
        for name in kept:
            weights = {key: value.numpy() for key, value in bound.likelihood[name].state_dict().items()}
            both = [i for i in range(rows) if here[name][i] and here["words"][i]]
            likelihood = sum(reference.log_q(z[name][i], z["words"][i], weights, LIMIT) for i in both) / len(both)
            own = [(z[name][i], group[i] if here[name][i] else -1) for i in range(rows)]
            everything = own + kept[name]
            entropy = reference.entropy([row for row, _ in everything], [c for _, c in everything], RIDGE)
            assert losses[f"information_{name}"].item() == pytest.approx(-0.4 * (likelihood + entropy), abs=1e-10)
            kept[name] = (own + kept[name])[:5]
    assert set(losses) == {"information_voice", "information_face"}


def test_entropy_of_known_gaussians():
    """Two groups of the same spread about other means: the entropy of one Gaussian, wherever its mean is."""
    random = np.random.default_rng(0)
    factor = np.array([[2.0, 0.0], [0.5, 1.0]])
    rows = torch.from_numpy(np.concatenate([random.standard_normal((40_000, 2)) @ factor.T + mean for mean in (-50, 50)]))
    group = torch.arange(2).repeat_interleave(40_000)
    exact = math.log(2 * math.pi * math.e) + 0.5 * math.log(np.linalg.det(factor @ factor.T + RIDGE * np.eye(2)))
    assert mixture_entropy(rows, group, groups=2).item() == pytest.approx(exact, abs=0.02)
    # The constants aside, 1/4 log(det Sigma_1 det Sigma_2).
    constant = math.log(2 * math.pi * math.e)
    ridge = RIDGE * torch.eye(2, dtype=torch.float64)
    determinants = [torch.linalg.det(torch.cov(rows[group == c].T, correction=0) + ridge) for c in (0, 1)]
    found = mixture_entropy(rows, group, groups=2).item() - constant
    assert found == pytest.approx(0.25 * math.log(determinants[0] * determinants[1]), abs=1e-10)


def test_bound_lies_below_the_information_and_nears_it_when_q_is_fitted():
    """x ~ N(0, 1), y = x + N(0, 1/4): the information is 1/2 log(1 + 4) nats."""
    torch.manual_seed(0)
    x = torch.randn(4000, 1, dtype=torch.float64)
    y = x + 0.5 * torch.randn(4000, 1, dtype=torch.float64)
    q = ConditionalGaussian(1, 1, hidden_size=16).double()
    optimizer = torch.optim.Adam(q.parameters(), 1e-2)
    entropy = mixture_entropy(y, torch.zeros(4000, dtype=torch.int64), groups=1)
    before = (q(x, y).mean() + entropy).item()
    for _ in range(300):
        optimizer.zero_grad()
        (-q(x, y).mean()).backward()
        optimizer.step()
    after, exact = (q(x, y).mean() + entropy).item(), 0.5 * math.log(5)
    assert before < exact
    assert after == pytest.approx(exact, abs=0.05)


def test_few_rows_have_no_entropy_and_finite_gradients():
    rows = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    nothing = mixture_entropy(rows, torch.tensor([0, 1, -1, -1]), groups=2)
    nothing.backward()
    assert nothing.item() == 0
    assert bool(rows.grad.isfinite().all())
    alike = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    constant = mixture_entropy(alike, torch.zeros(4, dtype=torch.int64), groups=1)
    constant.backward()
    assert constant.item() == pytest.approx(1.5 * math.log(2 * math.pi * math.e * RIDGE))
    assert bool(alike.grad.isfinite().all())


def test_groups_of_labels():
    target = torch.tensor([1.5, 0.0, -2.0])
    assert label_group(target, TASKS["regression"]).tolist() == [0, -1, 1]
    ratings = TaskSpec("regression", low=1, high=5)
    assert neutral(ratings) == 3
    assert label_group(torch.tensor([4.0, 3.0, 1.0]), ratings).tolist() == [0, -1, 1]
    assert label_group(torch.tensor([2, 0]), TASKS["multiclass"]).tolist() == [2, 0]
    assert label_group(torch.zeros(3, 2), TASKS["multilabel"]).tolist() == [0, 0, 0]
    assert [groups(task) for task in TASKS.values()] == [2, 3, 1]
    assert [side.tolist() for side in sides(target, zero_excluded=True)] == [[1, 0, 0], [0, 0, 1]]
    assert [side.tolist() for side in sides(target, zero_excluded=False)] == [[1, 1, 0], [0, 0, 1]]


def test_memory_is_the_newest_samples_and_begins_anew(toy):
    model = methods.build("mmim", {"hidden_size": 4, "post_size": 5, "memory": 10}, toy.spec, seed=0)
    list(training(model, toy, Plan(epochs=1, batch_size=32, probe_every=0)))
    bound = model.supervision
    assert bound.rows.shape == (10, 8)
    assert int((bound.group >= 0).sum()) == 20
    bound.begin_epoch(2)
    assert int((bound.group >= 0).sum()) == 20
    bound.begin_epoch(1)
    assert int((bound.group >= 0).sum()) == 0
    none = methods.build("mmim", {"hidden_size": 4, "post_size": 5, "memory": 0}, toy.spec, seed=0)
    assert next(iter(training(none, toy, Plan(epochs=1, probe_every=0)))).auxiliary.keys() == {"contrast", "information_audio", "information_vision"}


def test_a_broken_training_goes_on_with_its_memory(toy, tmp_path):
    view = apply(View(drop={"audio": 0.3}, drop_in=("train",)), toy)
    plan = {"epochs": 4, "batch_size": 32, "probe_every": 0}
    settings = {"config": {"hidden_size": 4, "post_size": 5, "dropout": 0.2}, "plan": plan, "checkpoint_seconds": 0}
    whole = fit("mmim", view, runs=tmp_path / "whole", **settings)

    def stop(epoch):
        if epoch.number == 3:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fit("mmim", view, runs=tmp_path / "broken", on_epoch=stop, **settings)
    resumed = fit("mmim", view, runs=tmp_path / "broken", resume=True, **settings)
    xr.testing.assert_identical(whole.trace["history"]["score"], resumed.trace["history"]["score"])
    xr.testing.assert_identical(whole.trace["history"]["loss_information_audio"], resumed.trace["history"]["loss_information_audio"])
    assert whole.trace["tap_means"]["fusion.similarity"].sizes == {"epoch": 4, "modality": 3}
