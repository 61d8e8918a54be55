"""The closed-form readout against scikit-learn's ridge regression."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from workbench.data.batch import TaskSpec
from workbench.readout import ridge_readout
from workbench.tasks import MultiClass, Regression

REGRESSION = Regression(TaskSpec("regression"))
THREE = MultiClass(TaskSpec("multiclass", classes=("a", "b", "c")))


@pytest.fixture
def features() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 100.0, 0.01, 1.0, 1.0])
    return torch.randn(60, 5, generator=generator) * scale + 3, torch.randn(20, 5, generator=generator) * scale + 3


def scikit_learn(fit: np.ndarray, wanted: np.ndarray, ask: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge on standardised features; its penalty is on the sum over samples, ours on the mean."""
    mean, scale = fit.mean(0), fit.std(0, ddof=1)
    return Ridge(alpha=penalty * len(fit)).fit((fit - mean) / scale, wanted).predict((ask - mean) / scale)


@pytest.mark.parametrize("penalty", [1e-3, 1e-2, 1.0])
def test_a_regression_equals_scikit_learns_ridge(features, penalty):
    fit, ask = features
    target = fit[:, 0] + torch.sin(fit[:, 3])
    expected = scikit_learn(fit.double().numpy(), target.double().numpy(), ask.double().numpy(), penalty)
    np.testing.assert_allclose(ridge_readout(fit, target, ask, task=REGRESSION, penalty=penalty).numpy(), expected, atol=1e-8)


def test_classes_equal_ridge_on_one_hot_targets(features):
    fit, ask = features
    target = torch.arange(60) % 3
    expected = scikit_learn(fit.double().numpy(), np.eye(3)[target.numpy()], ask.double().numpy(), 1e-2)
    np.testing.assert_allclose(ridge_readout(fit, target, ask, task=THREE).numpy(), expected, atol=1e-8)


def test_classes_that_are_separate_are_found():
    centres = torch.tensor([[4.0, 0.0], [0.0, 4.0], [-4.0, -4.0]])
    target = torch.arange(30) % 3
    fit = centres[target] + 0.1 * torch.randn(30, 2, generator=torch.Generator().manual_seed(1))
    assert ridge_readout(fit, target, centres, task=THREE).argmax(1).tolist() == [0, 1, 2]


def test_the_scale_of_a_feature_does_not_matter(features):
    fit, ask = features
    target, scale = fit[:, 0], torch.tensor([1e3, 1.0, 1e-3, 7.0, 1.0])
    one, other = (ridge_readout(fit * s, target, ask * s, task=REGRESSION) for s in (1.0, scale))
    torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("value", [0.0, 5.0, 0.1])
def test_a_constant_feature_says_nothing(features, value):
    fit, ask = features
    target = fit[:, 0]
    with_constant = ridge_readout(
        torch.cat([fit, torch.full((60, 1), value)], 1), target, torch.cat([ask, torch.full((20, 1), 99.0)], 1), task=REGRESSION
    )
    torch.testing.assert_close(with_constant, ridge_readout(fit, target, ask, task=REGRESSION))


def test_a_dead_representation_gives_the_mean_label():
    target = torch.tensor([1.0, 2.0, 6.0])
    assert ridge_readout(torch.zeros(3, 4), target, torch.zeros(2, 4), task=REGRESSION).tolist() == pytest.approx([3, 3])


def test_more_features_than_samples_is_fine():
    fit = torch.randn(10, 50, generator=torch.Generator().manual_seed(0))
    assert ridge_readout(fit, fit[:, 0], fit, task=REGRESSION).isfinite().all()
