"""Self-MM's label generation against hand calculation and its transcription; what is kept, what leaks, what is resumed."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from reference import ulgm as reference

from workbench import experiments, methods
from workbench.data.batch import TaskSpec
from workbench.data.views import View, apply
from workbench.fitting import fit
from workbench.model import Output
from workbench.plan import Plan
from workbench.supervision.ulgm import LabelGenerator, UnimodalTasks, relative_distance, weighted_error
from workbench.tasks import make_task
from workbench.training import TrainingState, training

SIGNED = TaskSpec("regression", low=-3, high=3)
SMALL = {"hidden_size": 8, "post_size": 6, "unimodal_size": 5}


def generator(sizes, fused_size, **settings):
    return LabelGenerator(sizes, fused_size=fused_size, **{"task": SIGNED, **settings}).double()


def test_three_samples_by_hand():
    """One fused feature, one of speech; labels 2, 1 and -1."""
    made = generator({"speech": 1}, 1)
    target = torch.tensor([2.0, 1.0, -1.0], dtype=torch.float64)
    fused = torch.tensor([[3.0], [1.0], [-2.0]], dtype=torch.float64)
    speech = torch.tensor([[1.0], [3.0], [-1.0]], dtype=torch.float64)
    index, present = torch.arange(3), torch.ones(3, 1, dtype=torch.bool)
    made.begin(target)
    made.begin_epoch(1)
    made.update(index, target, fused, [speech], present)
    assert made.read(index)[:, 0].tolist() == [2, 1, -1]
    made.begin_epoch(2)
    # Both positive centres are 2 ((3 + 1) / 2 and (1 + 3) / 2); the negative ones are -2 and -1.
    assert made.centres.tolist() == [[2, 2], [-2, -1]]
    made.update(index[:1], target[:1], fused[:1], [speech[:1]], present[:1])
    # Sample 0: alpha_m = ((3 + 2)^2 - (3 - 2)^2) / 1 = 24; alpha_s = ((1 + 1)^2 - (1 - 2)^2) / 1 = 3.
    # new = 2 * 3 / 48 + (2 + 3 - 24) / 2 = -9.375, clipped to -3; y = 1/3 * 2 + 2/3 * -3 = -4/3.
    assert made.read(index)[:, 0].tolist() == pytest.approx([-4 / 3, 1, -1], abs=1e-6)
    nearer = torch.tensor([[2.75]], dtype=torch.float64)
    made.update(index[1:2], target[1:2], fused[1:2], [nearer], present[:1])
    # Sample 1: alpha_m = ((1 + 2)^2 - 1) / 1 = 8; alpha_s = (3.75^2 - 0.75^2) / 0.75^2 = 24.
    # new = 1 * 24 / 16 + (1 + 24 - 8) / 2 = 10, clipped to 3; y = 1/3 + 2/3 * 3 = 7/3.
    assert made.read(index)[:, 0].tolist() == pytest.approx([-4 / 3, 7 / 3, -1], abs=1e-6)
    made.begin_epoch(3)
    # Speech now has one positive (7/3, feature 2.75) and two negative labels (features 1 and -1).
    assert made.centres[:, 1].tolist() == [2.75, 0]


def test_the_two_forms_of_the_shift_and_the_momentum_rule():
    """Eq. (34): the mean of ratio and offset is the label and its shift; epoch n keeps (n - 1)/(n + 1) of the label: 1/3, 1/2, 3/5, 2/3."""
    for y, s, m in ((1.5, 0.4, 0.9), (-2.0, -0.3, 0.2)):
        assert reference.eq34_label(y, s, m, 1e-3) == pytest.approx(y + (s - m) / 2 * (y + m) / m)
    made = generator({"speech": 1}, 1)
    target, ends = torch.tensor([1.0, -1.0], dtype=torch.float64), torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    everyone, first = torch.arange(2), torch.tensor([0])
    made.begin(target)
    made.begin_epoch(1)
    made.update(everyone, target, ends, [ends], torch.ones(2, 1, dtype=torch.bool))
    fused, speech = torch.tensor([[0.3]], dtype=torch.float64), torch.tensor([[0.25]], dtype=torch.float64)
    # With centres 1 and -1, alpha of x is ((x + 1)^2 - (x - 1)^2) / (x - 1)^2 = 4x / (x - 1)^2.
    alpha_m, alpha_s = 1.2 / 0.49, 1.0 / 0.5625
    new = 1 + (alpha_s - alpha_m) / 2 * (1 + alpha_m) / alpha_m
    expected = 1.0
    for n, kept in ((2, 1 / 3), (3, 1 / 2), (4, 3 / 5), (5, 2 / 3)):
        made.begin_epoch(n)
        assert made.centres.tolist() == [[1, 1], [-1, -1]]
        made.update(first, target[:1], fused, [speech], torch.ones(1, 1, dtype=torch.bool))
        made.features.write(everyone, torch.cat([ends, ends], dim=1))  # the centres stay where they are
        expected = kept * expected + (1 - kept) * new
        assert float(made.read(first)) == pytest.approx(expected, abs=1e-6)


def drawn(epochs, samples, widths, *, seed=0):
    """Representations by epoch, node and sample that follow the label, and labels with both signs and zeros."""
    random = np.random.default_rng(seed)
    target = np.round(random.uniform(-3, 3, samples), 1)
    target[:2] = 0
    rows = [[target[:, None] * 0.3 + random.standard_normal((samples, width)) for width in widths] for _ in range(epochs)]
    return rows, target


@pytest.mark.parametrize("zero_excluded", [True, False])
@pytest.mark.parametrize("size", [20, 7, 1])
def test_epochs_meet_the_transcription_in_batches_of_any_size_and_order(size, zero_excluded):
    widths, samples = (4, 3, 2), 20
    rows, target = drawn(5, samples, widths)
    present = np.ones((2, samples), dtype=bool)
    present[0, [3, 11]] = False
    present[1, [3, 4, 5]] = False
    expected = reference.train(rows, target.tolist(), present.tolist(), limit=3.0, floor=1e-3, zero_excluded=zero_excluded)
    made = generator({"speech": 3, "face": 2}, 4, zero_excluded=zero_excluded)
    made.begin(torch.from_numpy(target))
    for number, now in enumerate(rows, start=1):
        made.begin_epoch(number)
        order = torch.from_numpy(np.random.default_rng(number).permutation(samples))
        for index in order.split(size):
            features = [torch.from_numpy(part)[index] for part in now]
            made.update(index, torch.from_numpy(target)[index], features[0], features[1:], torch.from_numpy(present.T)[index])
        np.testing.assert_allclose(made.read(torch.arange(samples)).numpy(), expected[number - 1], atol=1e-10)
    shown = made.snapshot()
    assert shown["pseudo_label"].dims == ("sample", "modality")
    assert shown["pseudo_label"].sel(modality="speech").isnull().values.nonzero()[0].tolist() == [3, 11]
    assert shown["pseudo_label"].sel(modality="face").isnull().values.nonzero()[0].tolist() == [3, 4, 5]
    assert np.abs(shown["pseudo_label"]).max() <= 3


def test_labels_follow_their_samples_when_the_rows_are_permuted():
    """Sample by sample the same labels, wherever its row is: nothing of another sample's row is read or written."""
    widths, samples = (4, 3, 2), 16
    rows, target = drawn(4, samples, widths, seed=3)
    permutation = np.random.default_rng(9).permutation(samples)
    found = []
    for where in (np.arange(samples), permutation):
        made = generator({"speech": 3, "face": 2}, 4)
        placed = np.empty(samples)
        placed[where] = target
        made.begin(torch.from_numpy(placed))
        for number, now in enumerate(rows, start=1):
            made.begin_epoch(number)
            for chosen in (np.arange(0, 16, 2), np.arange(1, 16, 2)):
                before = made.read(torch.arange(samples)).clone()
                features = [torch.from_numpy(part[chosen]) for part in now]
                index = torch.from_numpy(where[chosen])
                made.update(index, torch.from_numpy(target[chosen]), features[0], features[1:], torch.ones(8, 2, dtype=torch.bool))
                others = torch.from_numpy(np.setdiff1d(np.arange(samples), where[chosen]))
                assert torch.equal(made.read(others), before[others])
        found.append(made.read(torch.from_numpy(where)).numpy())
    np.testing.assert_allclose(found[0], found[1], atol=1e-12)
    assert np.abs(found[0] - target[:, None]).max() > 0.1


def test_small_alpha_is_guarded_and_counted():
    made = generator({"speech": 1}, 1, floor=0.5)
    target = torch.tensor([1.0, -1.0], dtype=torch.float64)
    rows = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    present = torch.ones(2, 1, dtype=torch.bool)
    made.begin(target)
    for number in (1, 2):
        made.begin_epoch(number)
        now = rows if number == 1 else torch.tensor([[0.0], [-0.01]], dtype=torch.float64)
        made.update(torch.arange(2), target, now, [rows / 2 if number == 2 else rows], present)
    # alpha_m is 0 and -0.04 / 1.0201: divided by 0.5 and -0.5. alpha_s = 4x / (x - 1)^2 at 0.5 and -0.5: 8 and -8 / 9.
    first = 1 * 8 / (2 * 0.5) + (1 + 8 - 0) / 2
    second = -1 * (-8 / 9) / (2 * -0.5) + (-1 - 8 / 9 + 0.04 / 1.0201) / 2
    expected = [(1 + 2 * min(first, 3)) / 3, (-1 + 2 * second) / 3]
    assert made.read(torch.arange(2))[:, 0].tolist() == pytest.approx(expected, abs=1e-6)
    assert int(made.snapshot()["guarded"]) == 2
    made.begin_epoch(3)
    assert int(made.snapshot()["guarded"]) == 0


def test_without_both_sides_labels_stay():
    made = generator({"speech": 2}, 2)
    target = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    made.begin(target)
    for number in (1, 2, 3):
        made.begin_epoch(number)
        features = torch.randn(3, 2, dtype=torch.float64)
        made.update(torch.arange(3), target, features, [features], torch.ones(3, 1, dtype=torch.bool))
    assert made.read(torch.arange(3))[:, 0].tolist() == [1, 2, 0]


def test_a_range_without_a_sign_is_measured_from_its_middle():
    """Ratings 1 to 5 are the labels -2 to 2, three higher."""
    rows, target = drawn(4, 12, (4, 3), seed=1)
    target = np.clip(target, -2, 2)
    labels = []
    for shift, task in ((0, TaskSpec("regression", low=-2, high=2)), (3, TaskSpec("regression", low=1, high=5))):
        made = generator({"speech": 3}, 4, task=task)
        made.begin(torch.from_numpy(target + shift))
        for number, now in enumerate(rows, start=1):
            made.begin_epoch(number)
            features = [torch.from_numpy(part) for part in now]
            made.update(torch.arange(12), torch.from_numpy(target + shift), features[0], features[1:], torch.ones(12, 1, dtype=torch.bool))
        labels.append(made.read(torch.arange(12)).numpy() - shift)
    np.testing.assert_allclose(labels[0], labels[1], atol=1e-9)


def test_a_training_anew_forgets_what_broke_in_an_earlier_one():
    made = generator({"speech": 2}, 2)
    made.begin(torch.tensor([1.0, -1.0], dtype=torch.float64))
    made.update(torch.arange(2), torch.zeros(2), torch.full((2, 2), torch.nan), [torch.full((2, 2), torch.nan)], torch.ones(2, 1, dtype=torch.bool))
    made.begin_epoch(1)
    assert not made.centres.isnan().any() and not made.features.rows.any()


def test_answers_are_those_of_the_tasks_heads(toy, toy_maker):
    batch = toy["train"].batch(torch.arange(5))
    for data, outputs in ((toy, ()), (toy_maker(classes=3), (3,))):
        model = methods.build("self_mm", SMALL, data.spec, seed=0).eval()
        output = model(batch)
        said = model.supervision.answers(output)
        assert list(said) == ["text", "audio", "vision"] and said["audio"].shape == (5, *outputs)
        features = torch.relu(model.supervision.posts["audio"][1](output.representations["audio"]))
        torch.testing.assert_close(said["audio"].reshape(5, -1), model.supervision.heads["audio"](features))


def test_loss_meets_the_transcription():
    torch.manual_seed(0)
    said, label, target = torch.randn(3, 9, dtype=torch.float64) * 2
    for present in (torch.ones(9, dtype=torch.bool), torch.arange(9) % 3 > 0, torch.zeros(9, dtype=torch.bool)):
        expected = reference.eq35_term(said.tolist(), label.tolist(), target.tolist(), present.tolist())
        assert weighted_error(said, label, target, present).item() == pytest.approx(expected, abs=1e-12)


def test_relative_distance_meets_the_transcription():
    torch.manual_seed(0)
    rows, centres = torch.randn(5, 7, dtype=torch.float64), torch.randn(2, 7, dtype=torch.float64)
    found = relative_distance(rows, centres, [4, 3])
    for i in range(5):
        for node, part in enumerate((slice(0, 4), slice(4, 7))):
            expected = reference.eq29_31_alpha(rows[i, part].numpy(), centres[0, part].numpy(), centres[1, part].numpy())
            assert float(found[i, node]) == pytest.approx(expected, abs=1e-10)


def test_terms_of_a_training_batch_and_which_weights_they_reach(toy):
    model = methods.build("self_mm", SMALL, toy.spec, seed=0).double()
    plan = Plan(epochs=3, batch_size=48, probe_every=0)
    *_, epoch = training(model, toy, plan, state=TrainingState.start(model, plan))
    batch = toy["train"].batch(torch.arange(10))
    output, tasks = model(batch), model.supervision
    labels = tasks.generator.read(batch.index).clone()
    losses = tasks(output, batch)
    for i, name in enumerate(toy.modalities):
        features = torch.relu(output.representations[name] @ tasks.posts[name][1].weight.T + tasks.posts[name][1].bias)
        said = (features @ tasks.heads[name].weight.T + tasks.heads[name].bias)[:, 0]
        expected = reference.eq35_term(said.tolist(), labels[:, i].tolist(), batch.target.tolist(), [True] * 10)
        assert losses[f"unimodal_{name}"].item() == pytest.approx(expected, abs=1e-10)
    # In a third epoch the labels have moved away from the sample's own, and the terms are in the record.
    assert all(value > 0 for value in epoch.auxiliary.values())
    assert set(epoch.auxiliary) == {"unimodal_text", "unimodal_audio", "unimodal_vision"}


@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_classes_and_labels_are_trained_with_their_own_label(toy_maker, kind):
    data = toy_maker(**{kind: 3})
    model = methods.build("self_mm", SMALL, data.spec, seed=0)
    assert model.supervision.generator is None
    assert model.supervision.snapshot() is None
    epoch = next(iter(training(model, data, Plan(epochs=1, probe_every=0, batch_size=32))))
    batch = data["train"].batch(torch.arange(6))
    output = model.eval()(batch)
    losses = model.supervision(output, batch)
    features = torch.relu(model.supervision.posts["audio"](output.representations["audio"]))
    expected = epoch.task.loss(model.supervision.heads["audio"](features), batch.target)
    assert losses["unimodal_audio"].item() == pytest.approx(expected.item())


def test_a_sample_without_a_modality_has_no_label_and_no_loss_there(toy):
    data = apply(View(drop={"audio": 0.5}, drop_in=("train",)), toy)
    lacks = [row for row in range(96) if not bool(data["train"].batch(torch.tensor([row]))["audio"].mask.any())]
    model = methods.build("self_mm", SMALL, data.spec, seed=0)
    epochs = list(training(model, data, Plan(epochs=3, probe_every=0, batch_size=32)))
    shown = epochs[-1].snapshot["pseudo_label"]
    assert shown.sel(modality="audio").isnull().values.nonzero()[0].tolist() == lacks
    assert not bool(shown.sel(modality="text").isnull().any())
    batch = data["train"].batch(torch.tensor(lacks))
    assert model.supervision(model(batch), batch)["unimodal_audio"].item() == 0


@pytest.mark.parametrize(("name", "accumulate"), [("self_mm", 1), ("mmiln", 2)])
def test_a_killed_training_goes_on_with_its_labels(toy, tmp_path, name, accumulate):
    config = {**SMALL, "dropout": 0.2, **({"layers": 1} if name == "mmiln" else {})}
    settings = {"config": config, "checkpoint_seconds": 0}
    settings["plan"] = {"epochs": 6, "batch_size": 32, "probe_every": 0, "accumulate": accumulate}
    whole = fit(name, toy, runs=tmp_path / "whole", **settings)

    def stop(epoch):
        if epoch.number == 4:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fit(name, toy, runs=tmp_path / "broken", on_epoch=stop, **settings)
    numbers = []
    resumed = fit(name, toy, runs=tmp_path / "broken", resume=True, on_epoch=lambda epoch: numbers.append(epoch.number), **settings)
    assert numbers == [4, 5, 6]
    labels = whole.trace["snapshots"]["pseudo_label"]
    assert labels.sizes == {"epoch": 6, "sample": 96, "modality": 3 if name == "self_mm" else 2}
    xr.testing.assert_identical(labels, resumed.trace["snapshots"]["pseudo_label"])
    xr.testing.assert_identical(whole.trace["history"]["score"], resumed.trace["history"]["score"])
    first, second = whole.model().state_dict(), resumed.model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    # Labels start as the sample's own, and are others by epoch 2.
    own = toy["train"].target.numpy()[:, None]
    assert np.array_equal(labels.sel(epoch=1).values, np.broadcast_to(own, labels.shape[1:]))
    assert float(np.abs(labels.sel(epoch=2) - own).max()) > 0.05
    assert math.isclose(float(whole.trace["history"]["loss_unimodal_audio"].sel(epoch=2)), 0)


def test_a_share_of_its_own_in_the_place_of_the_momentum_rule():
    """Epoch after epoch the same share is kept: .9, where the rule keeps 1/3, 1/2."""
    made, rule = generator({"speech": 1}, 1, momentum=0.9), generator({"speech": 1}, 1)
    target, ends = torch.tensor([1.0, -1.0], dtype=torch.float64), torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    first, here = torch.tensor([0]), torch.ones(1, 1, dtype=torch.bool)
    for labels in (made, rule):
        labels.begin(target)
        labels.begin_epoch(1)
        labels.update(torch.arange(2), target, ends, [ends], torch.ones(2, 1, dtype=torch.bool))
    # alpha_m = 4 (.25) / .75^2 = 16/9 and alpha_s = 0: new = (1 - 16/9) / 2 = -7/18.
    fused, speech, new = torch.tensor([[0.25]], dtype=torch.float64), torch.tensor([[0.0]], dtype=torch.float64), -7 / 18
    expected, by_rule = 1.0, 1.0
    for n in (2, 3):
        for labels in (made, rule):
            labels.begin_epoch(n)
            labels.update(first, target[:1], fused, [speech], here)
            labels.features.write(torch.arange(2), torch.cat([ends, ends], dim=1))
        expected = 0.9 * expected + 0.1 * new
        by_rule = (n - 1) / (n + 1) * by_rule + 2 / (n + 1) * new
        assert float(made.read(first)) == pytest.approx(expected, abs=1e-6)
        assert float(rule.read(first)) == pytest.approx(by_rule, abs=1e-6)


def test_several_workers_make_the_labels_of_one(toy, tmp_path):
    config = {**SMALL, "layers": 1}
    variants = {"mmiln": {"method": "mmiln", "config": config, "preset": "none"}}
    settings = {"seeds": 2, "plan": {"epochs": 3, "probe_every": 0, "device": "cpu"}, "has_progress": False}
    try:
        two = experiments.compare(toy, variants, workers=2, runs=tmp_path / "two", **settings)
    finally:
        experiments._pool(2).shutdown()
        experiments._pool.cache_clear()
    one = experiments.compare(toy, variants, workers=1, runs=tmp_path / "one", **settings)
    assert [run.seed for run in two.runs] == [0, 1]
    for first, second in zip(one.runs, two.runs, strict=True):
        labels = first.trace["snapshots"]["pseudo_label"]
        xr.testing.assert_allclose(labels, second.trace["snapshots"]["pseudo_label"], atol=1e-6)
        assert float(np.abs(labels.sel(epoch=3) - labels.sel(epoch=1)).max()) > 0.05
    assert float(np.abs(one.runs[0].trace["snapshots"]["pseudo_label"] - one.runs[1].trace["snapshots"]["pseudo_label"]).max()) > 0.05


def placed(split, where):
    """The split with sample i in row `where[i]`."""
    return split.take(np.argsort(where))


@pytest.mark.parametrize("name", ["self_mm", "mmiln"])
def test_labels_follow_their_samples_whatever_the_rows_batches_and_accumulation(toy, name):
    """Weights all but stand still, so that a label depends on its own sample and the centres: not on where it lies, or on whom it is trained with."""
    data = apply(View(drop={"audio": 0.3}, drop_in=("train",)), toy)
    config = {**SMALL, "layers": 1} if name == "mmiln" else SMALL
    where = np.random.default_rng(4).permutation(96)
    found = []
    for seed, place, plan in (
        (0, np.arange(96), {"batch_size": 96}),
        (1, where, {"batch_size": 13, "accumulate": 3, "is_bucketed": False}),
        (2, where, {"batch_size": 32, "accumulate": 2}),
    ):
        moved = replace(data, splits={**data.splits, "train": placed(data.splits["train"], place)})
        model = methods.build(name, config, moved.spec, seed=0).double()
        plan = Plan(epochs=3, probe_every=0, learning_rate=1e-30, seed=seed, **plan)
        *_, last = training(model, moved, plan, state=TrainingState.start(model, plan))
        found.append(last.snapshot["pseudo_label"].values[place])
        target = moved.splits["train"].target.numpy()[place]
    assert all(np.array_equal(np.isnan(labels), np.isnan(found[0])) for labels in found)
    np.testing.assert_allclose(found[1], found[0], atol=1e-7)
    np.testing.assert_allclose(found[2], found[0], atol=1e-7)
    assert np.nanmax(np.abs(found[0] - target[:, None])) > 0.3


def test_a_task_reads_what_the_fusion_made_of_the_modality(toy):
    """`source="parts"`: the same numbers where the parts are the representations, others where they are not."""
    batch = toy["train"].batch(torch.arange(10))
    z = {name: torch.randn(10, 4, generator=torch.Generator().manual_seed(i)) for i, name in enumerate(toy.modalities)}
    fused, settings = torch.randn(10, 6), {"fused_size": 6, "post_size": 5, "task": toy.spec.task}
    found = {}
    for source, z_given, parts in (("representations", z, {}), ("parts", {}, z), ("parts", {}, {name: -value for name, value in z.items()})):
        torch.manual_seed(0)
        tasks = UnimodalTasks(dict.fromkeys(z, 4), source=source, **settings)
        tasks.begin(toy["train"], make_task(toy.spec.task))
        tasks.begin_epoch(1)
        tasks.generator.labels.rows += 1
        terms = tasks(Output(batch.target, z_given, {}, fused, parts), batch)
        found[source, len(found)] = [value.item() for value in terms.values()]
    same, parts, other = found.values()
    assert same == parts
    assert all(a != b for a, b in zip(same, other, strict=True))
