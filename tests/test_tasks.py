"""Every metric against scikit-learn and scipy on random data, and against cases counted by hand."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as reference
from torch.nn import functional

from workbench.data.batch import TaskSpec
from workbench.tasks import (
    LOWER_IS_BETTER,
    METRIC_NAMES,
    MultiClass,
    MultiLabel,
    Regression,
    correlation,
    make_task,
    metric_title,
    metrics_of,
    rounded_accuracy,
    two_class_scores,
)

SIMS = TaskSpec("regression", -1.0, 1.0)
EMOTIONS = TaskSpec("multilabel", classes=("neutral", "happy", "sad", "angry"))

MOSI = TaskSpec("regression", -3.0, 3.0)
FOUR = TaskSpec("multiclass", classes=("a", "b", "c", "d"))


def random_regression(seed: int, n: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions beyond the range and truths with zeros and halves, as in MOSI."""
    random = np.random.default_rng(seed)
    target = np.round(random.uniform(-3, 3, n) * 5) / 5
    target[::7] = 0
    prediction = target + random.normal(0, 1.5, n)
    prediction[::11] = np.round(prediction[::11] * 2) / 2
    return torch.from_numpy(prediction).float(), torch.from_numpy(target).float()


@pytest.mark.parametrize("seed", range(5))
def test_regression_metrics_equal_scikit_learn_and_scipy(seed):
    prediction, target = random_regression(seed)
    found = Regression(MOSI).metrics(prediction, target)
    p, t = prediction.numpy(), target.numpy()
    keep = t != 0
    expected = {
        "acc2_has0": reference.accuracy_score(t >= 0, p >= 0),
        "f1_has0": reference.f1_score(t >= 0, p >= 0, average="weighted"),
        "acc2_non0": reference.accuracy_score(t[keep] > 0, p[keep] > 0),
        "f1_non0": reference.f1_score(t[keep] > 0, p[keep] > 0, average="weighted"),
        "acc5": reference.accuracy_score(np.round(np.clip(t, -2, 2)).astype(int), np.round(np.clip(p, -2, 2)).astype(int)),
        "acc7": reference.accuracy_score(np.round(np.clip(t, -3, 3)).astype(int), np.round(np.clip(p, -3, 3)).astype(int)),
        "mae": reference.mean_absolute_error(t, p),
        "corr": stats.pearsonr(t, p).statistic,
    }
    assert found == pytest.approx(expected, abs=1e-6)
    assert list(found) == list(expected)


@pytest.mark.parametrize("seed", range(5))
def test_class_metrics_equal_scikit_learn(seed):
    random = np.random.default_rng(seed)
    scores, target = random.normal(size=(150, 4)), random.choice(4, 150, p=[0.6, 0.2, 0.15, 0.05])
    found = MultiClass(FOUR).metrics(torch.from_numpy(scores), torch.from_numpy(target))
    chosen = scores.argmax(1)
    expected = {
        "accuracy": reference.accuracy_score(target, chosen),
        "f1_macro": reference.f1_score(target, chosen, average="macro"),
        "f1_weighted": reference.f1_score(target, chosen, average="weighted"),
    }
    assert found == pytest.approx(expected, abs=1e-6)


# The rules, by hand


def test_acc2_has0_counts_zero_as_not_negative():
    # truth -, 0, +, 0; said -, +, -, 0: right, right, wrong, right
    found = Regression(MOSI).metrics(torch.tensor([-1.0, 0.5, -0.5, 0.0]), torch.tensor([-2.0, 0.0, 1.0, 0.0]))
    assert found["acc2_has0"] == pytest.approx(3 / 4)


def test_acc2_non0_drops_true_zeros_and_counts_a_said_zero_as_negative():
    # truth 0 is dropped; truth +1 said 0 is wrong; truth -1 said 0 is right; truth +2 said .1 is right
    found = Regression(MOSI).metrics(torch.tensor([3.0, 0.0, 0.0, 0.1]), torch.tensor([0.0, 1.0, -1.0, 2.0]))
    assert found["acc2_non0"] == pytest.approx(2 / 3)


def test_a_tiny_truth_is_not_zero():
    found = Regression(MOSI).metrics(torch.tensor([1.0, 1.0]), torch.tensor([-1e-6, 1.0]))
    assert found["acc2_non0"] == found["acc2_has0"] == pytest.approx(1 / 2)


def test_weighted_f1_by_hand():
    # truth + + + -, said + + - +: F1 of + is 2*2/(2*2+1+1) = 2/3 (3 samples), F1 of - is 0 (1 sample): 3/4 * 2/3
    scores = two_class_scores(torch.tensor([True, True, False, True]), torch.tensor([True, True, True, False]), suffix="has0")
    assert scores == pytest.approx({"acc2_has0": 1 / 2, "f1_has0": 1 / 2})


def test_weighted_f1_weighs_by_the_true_count_not_the_said():
    # truth + + + + -, said + + - - -: F1 of + is 2*2/(4+0+2) = 2/3 (4 true, 2 said), F1 of - is 2*1/(2+2+0) = 1/2 (1 true, 3 said)
    said, true = torch.tensor([True, True, False, False, False]), torch.tensor([True, True, True, True, False])
    assert two_class_scores(said, true, suffix="x")["f1_x"] == pytest.approx(4 / 5 * 2 / 3 + 1 / 5 * 1 / 2)


def test_f1_has_an_order():
    # truth + + + -, said all +: F1 of + is 6/7, of - 0: 3/4 * 6/7 = 9/14. Swapped: truth all +, F1 of + is 6/7: 6/7.
    said, true = torch.tensor([True, True, True, True]), torch.tensor([True, True, True, False])
    assert two_class_scores(said, true, suffix="x")["f1_x"] == pytest.approx(9 / 14)
    assert two_class_scores(true, said, suffix="x")["f1_x"] == pytest.approx(6 / 7)


def test_the_order_holds_through_the_task():
    said, true = torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([1.0, 2.0, 3.0, -1.0])
    found = Regression(MOSI).metrics(said, true)
    assert found["f1_has0"] == found["f1_non0"] == pytest.approx(9 / 14)
    scores = functional.one_hot(torch.tensor([0, 0, 0, 0]), 4).float()
    assert MultiClass(FOUR).metrics(scores, torch.tensor([0, 0, 0, 1]))["f1_weighted"] == pytest.approx(9 / 14)


@pytest.mark.parametrize(
    ("said", "true", "limit", "share"),
    [
        (0.5, 0.0, 3, 1.0),  # half to even: .5 is 0
        (0.5, 1.0, 3, 0.0),
        (1.5, 2.0, 3, 1.0),  # 1.5 is 2
        (2.5, 2.0, 3, 1.0),  # 2.5 is 2
        (2.5, 3.0, 3, 0.0),
        (-0.5, 0.0, 3, 1.0),
        (-1.5, -2.0, 3, 1.0),
        (9.0, 3.0, 3, 1.0),  # clipped
        (-9.0, -3.0, 3, 1.0),
        (3.0, 2.0, 3, 0.0),
        (3.0, 2.0, 2, 1.0),  # Acc-5 clips both to 2
        (-2.6, -1.5, 2, 1.0),
        (0.6, 1.4, 3, 1.0),
    ],
)
def test_rounding_and_clipping(said, true, limit, share):
    assert rounded_accuracy(torch.tensor([said]), torch.tensor([true]), limit=limit) == share


def test_mae_by_hand():
    assert Regression(MOSI).metrics(torch.tensor([1.0, -2.0]), torch.tensor([0.0, 2.0]))["mae"] == pytest.approx(2.5)


@pytest.mark.parametrize(("said", "true"), [([1.0, 1.0, 1.0], [0.0, 1.0, 2.0]), ([0.0, 1.0, 2.0], [1.0, 1.0, 1.0]), ([1.0], [2.0])])
def test_a_constant_has_no_correlation(said, true):
    assert correlation(torch.tensor(said), torch.tensor(true)) == 0.0


def test_a_nearly_constant_prediction_gives_a_number_without_a_warning():
    said = 0.3 + 1e-7 * torch.arange(20)
    assert -1 <= correlation(said, torch.arange(20).float()) <= 1


def test_correlation_does_not_know_scale():
    true = torch.arange(10).float()
    assert correlation(-3 * true + 2, true) == pytest.approx(-1, abs=1e-6)


def test_nothing_but_zeros_leaves_no_sample():
    found = Regression(MOSI).metrics(torch.tensor([0.5, -0.5]), torch.zeros(2))
    assert np.isnan([found["acc2_non0"], found["f1_non0"]]).all()
    assert found["acc2_has0"] == 0.5
    assert found["corr"] == 0.0


# Which metrics there are


def test_a_range_that_is_not_minus_three_to_three_has_no_seven_classes():
    found = Regression(TaskSpec("regression", -1.0, 1.0)).metrics(torch.tensor([0.5, -1.0]), torch.tensor([0.5, 1.0]))
    assert {"acc5", "acc7"}.isdisjoint(found)
    assert "acc2_non0" in found


def test_a_range_without_a_sign_has_no_two_classes():
    task = Regression(TaskSpec("regression", 0.0, 5.0))
    assert set(task.metrics(torch.tensor([0.5, 1.0]), torch.tensor([0.5, 2.0]))) == {"mae", "corr"}
    assert task.headline == "corr"


def test_the_headline_is_one_of_the_metrics():
    assert Regression(MOSI).headline == "acc2_non0"
    assert MultiClass(FOUR).headline == "accuracy"


def test_every_metric_has_a_name_for_people():
    scores = torch.randn(20, 4)
    found = {**Regression(MOSI).metrics(*random_regression(0)), **MultiClass(FOUR).metrics(scores, torch.arange(20) % 4)}
    found |= Regression(SIMS).metrics(torch.linspace(-1, 1, 9), torch.linspace(1, -1, 9))
    found |= MultiLabel(TaskSpec("multilabel", classes=tuple(map(str, range(9))))).metrics(torch.randn(5, 9), torch.ones(5, 9))
    assert set(found) == set(METRIC_NAMES)
    assert set(METRIC_NAMES) & LOWER_IS_BETTER == {"mae"}
    assert metric_title("acc7") == "Acc-7"
    assert metric_title("f1_happy") == "F1 (happy)"
    assert metric_title("accuracy_sad") == "Accuracy (sad)"
    assert metric_title("accuracy_top") == "Acc-top (strongest label)"


# CH-SIMS


def test_sims_scores_by_hand():
    target = torch.tensor([-1.0, -0.6, -0.1, 0.0, 0.2, 0.8])
    prediction = torch.tensor([-2.0, -0.8, 0.05, 0.3, 0.4, 0.1])
    # Above 0: truth n n n n y y, said n n y y y y: 4 of 6 right.
    # Three bins: truth 0 0 0 1 2 2 (-.1 belongs below its cut), said 0 0 1 2 2 1: 3 right.
    # Five bins: truth 0 1 1 2 3 4, said 0 0 2 3 3 2: 2 right.
    found = Regression(SIMS).metrics(prediction, target)
    assert found["acc2_sims"] == pytest.approx(4 / 6)
    assert found["acc3_sims"] == pytest.approx(3 / 6)
    assert found["acc5_sims"] == pytest.approx(2 / 6)
    assert found["f1_sims"] == pytest.approx(reference.f1_score(target > 0, prediction > 0, average="weighted"))
    assert Regression(SIMS).headline == "acc2_sims"
    assert "acc2_sims" not in Regression(MOSI).metrics(prediction, target)


# Several labels


def test_multilabel_metrics_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    scores, truth = rng.normal(size=(60, 4)).astype(np.float32), (rng.random((60, 4)) < 0.4).astype(np.float32)
    found = MultiLabel(EMOTIONS).metrics(torch.from_numpy(scores), torch.from_numpy(truth))
    for average in ("micro", "macro", "weighted", "samples"):
        assert found[f"f1_{average}"] == pytest.approx(reference.f1_score(truth, scores > 0, average=average, zero_division=0))
    assert found["map"] == pytest.approx(reference.average_precision_score(truth, scores, average="macro"))
    assert found["accuracy"] == pytest.approx(((scores > 0) == truth).mean())
    assert found["accuracy_sad"] == pytest.approx(reference.accuracy_score(truth[:, 2], scores[:, 2] > 0))
    assert found["f1_happy"] == pytest.approx(reference.f1_score(truth[:, 1], scores[:, 1] > 0, average="weighted"))


def test_multilabel_by_hand():
    scores = torch.tensor([[2.0, -1.0, -1.0, -1.0], [-1.0, -1.0, -1.0, -1.0], [1.0, 1.0, -1.0, -1.0]])
    truth = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]])
    # Right yes 3, wrong yes 0, missed yes 1: micro F1 = 6/7. By sample 1, 0, 1. Labels that nobody has count 0 in macro: (1 + 2/3) / 4.
    found = MultiLabel(EMOTIONS).metrics(scores, truth)
    assert found["f1_micro"] == pytest.approx(6 / 7)
    assert found["f1_samples"] == pytest.approx(2 / 3)
    assert found["f1_macro"] == pytest.approx((1 + 2 / 3) / 4)
    assert found["accuracy"] == pytest.approx(11 / 12)
    # Each answer costs -log of the probability that it was given: sigmoid(s) for a yes, sigmoid(-s) for a no.
    chances = 1 / (1 + np.exp(-scores.numpy() * np.where(truth.numpy() > 0, 1, -1)))
    assert float(MultiLabel(EMOTIONS).loss(scores, truth)) == pytest.approx(-np.log(chances).mean(), rel=1e-5)


def test_the_strongest_label_by_hand():
    # Strongest: 0 (there), 1 (not there), 3 (there, one of two), 2 (a sample without any label does not count): 2 of 3.
    scores = torch.tensor([[2.0, 1.0, 0.0, 0.0], [-3.0, -1.0, -2.0, -2.0], [0.0, 0.0, 0.0, 0.5], [0.0, 0.0, 9.0, 0.0]])
    truth = torch.tensor([[1.0, 0, 0, 0], [1, 0, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]])
    assert MultiLabel(EMOTIONS).metrics(scores, truth)["accuracy_top"] == pytest.approx(2 / 3)
    # of equal scores the first is taken
    assert MultiLabel(EMOTIONS).metrics(torch.zeros(3, 4), truth[:3])["accuracy_top"] == 1
    assert np.isnan(MultiLabel(EMOTIONS).metrics(scores, torch.zeros(4, 4))["accuracy_top"])


def test_multilabel_mae_by_hand():
    # probabilities 1/2, 3/4, 1/4, 1 (sigmoid of 0, ln 3, -ln 3, a lot) against 1, 1, 1, 0: 1/2 + 1/4 + 3/4 + 1, of 4
    scores = torch.tensor([[0.0, np.log(3), -np.log(3), 200.0]])
    assert MultiLabel(EMOTIONS).metrics(scores, torch.tensor([[1.0, 1, 1, 0]]))["mae"] == pytest.approx(2.5 / 4)
    # certain answers at the likelier side: one wrong of four
    assert MultiLabel(EMOTIONS).metrics(torch.tensor([[99.0, 99.0, -99.0, -99.0]]), torch.tensor([[1.0, 1, 0, 1]]))["mae"] == pytest.approx(1 / 4)


def test_single_labels_by_hand():
    # happy: truth y y n n, said y n n n: 3 of 4; F1 of yes 2/3, of no 4/5, two samples each
    scores = torch.full((4, 4), -1.0)
    scores[0, 1] = 1.0
    truth = torch.zeros(4, 4)
    truth[:2, 1] = 1.0
    found = MultiLabel(EMOTIONS).metrics(scores, truth)
    assert found["accuracy_happy"] == 3 / 4 and found["f1_happy"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    # weighted F1 over labels: only happy has samples, so its F1 of yes; macro: a label that nobody has or is given counts 0
    assert found["f1_weighted"] == pytest.approx(2 / 3) and found["f1_macro"] == pytest.approx(2 / 3 / 4)


def test_multilabel_without_any_label_has_no_average_precision():
    found = MultiLabel(EMOTIONS).metrics(torch.zeros(2, 4), torch.zeros(2, 4))
    assert np.isnan(found["map"])
    assert found["f1_micro"] == 0


def test_many_labels_are_not_listed_one_by_one():
    genres = TaskSpec("multilabel", classes=tuple(f"genre {i}" for i in range(9)))
    assert not [name for name in MultiLabel(genres).metrics(torch.zeros(2, 9), torch.ones(2, 9)) if "genre" in name]


def test_the_data_names_its_headline():
    assert make_task(TaskSpec("multiclass", classes=("a", "b"), headline="f1_weighted")).headline == "f1_weighted"
    assert make_task(EMOTIONS).headline == "f1_micro"
    assert make_task(TaskSpec("regression", headline="mae")).headline == "mae"


def test_metrics_take_predictions_of_a_training():
    prediction = torch.randn(8, dtype=torch.bfloat16, requires_grad=True)
    assert np.isfinite(list(Regression(MOSI).metrics(prediction, torch.linspace(-3, 3, 8)).values())).all()


def test_a_class_that_nobody_has_does_not_count():
    # 4 classes, only a and b occur: F1 of a is 2*1/(2+0+1) = 2/3, of b is 2*2/(4+1+0) = 4/5
    scores = functional.one_hot(torch.tensor([0, 1, 1, 1]), 4).float()
    assert MultiClass(FOUR).metrics(scores, torch.tensor([0, 0, 1, 1]))["f1_macro"] == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_a_label_that_is_called_like_an_average_has_a_name_of_its_own():
    task = MultiLabel(TaskSpec("multilabel", classes=("macro", "happy")))
    truth = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
    found = task.metrics(truth - 0.5, 1 - truth)
    assert {"f1_macro", "f1_label_macro", "accuracy_label_macro", "f1_happy"} <= set(found)
    assert found["f1_macro"] == 0
    spec = TaskSpec("multilabel", classes=("top", "happy"))
    found = MultiLabel(spec).metrics(truth - 0.5, truth)
    assert {"accuracy_top", "accuracy_label_top", "f1_label_top"} <= set(found) and sorted(found) == sorted(metrics_of(spec))


@pytest.mark.parametrize(
    "spec",
    [MOSI, SIMS, FOUR, EMOTIONS, TaskSpec("regression", 0.0, 5.0), TaskSpec("multilabel", classes=("macro", *"abcdefghi"))],
    ids=lambda spec: f"{spec.kind} {spec.low} {len(spec.classes)}",
)
def test_the_metrics_of_a_task_are_those_that_it_computes(spec):
    target = {"regression": torch.linspace(spec.low, spec.high, 12), "multiclass": torch.arange(12) % 4}.get(spec.kind)
    target = (torch.arange(12)[:, None] % (2 + torch.arange(len(spec.classes))) == 0).float() if target is None else target
    prediction = target + 0.1 if spec.kind == "regression" else torch.randn(12, len(spec.classes))
    assert sorted(metrics_of(spec)) == sorted(make_task(spec).metrics(prediction, target))
    assert make_task(spec).headline in metrics_of(spec)


# Losses


def test_losses_by_hand():
    prediction, target = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0])
    assert float(Regression(MOSI).loss(prediction, target)) == 2
    assert float(Regression(MOSI, loss="mse").loss(prediction, target)) == 5
    # softmax(0, ln 3) = 1/4, 3/4
    scores = torch.tensor([[0.0, np.log(3)]])
    assert float(MultiClass(FOUR).loss(scores, torch.tensor([1]))) == pytest.approx(-np.log(3 / 4))


def test_the_loss_has_the_predictions_precision():
    assert Regression(MOSI).loss(torch.zeros(2, dtype=torch.float64), torch.ones(2)).dtype == torch.float64


def test_make_task_follows_the_kind():
    assert isinstance(make_task(FOUR), MultiClass)
    task = make_task(MOSI, loss="mse")
    assert isinstance(task, Regression)
    assert float(task.loss(torch.tensor([3.0]), torch.tensor([0.0]))) == 9
