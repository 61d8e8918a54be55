"""A linear readout by ridge regression, in closed form: what can be read off a frozen representation?"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from workbench.tasks import MultiClass, Regression, Task


def ridge_readout(
    fit: Float[Tensor, "samples feature"], target: Tensor, ask: Float[Tensor, "others feature"], *, task: Task, penalty: float = 1e-2
) -> Tensor:
    """Predictions for `ask` by ridge regression fitted on `fit`.

    W = (X^T X / n + penalty I)^-1 X^T Y / n on features standardised by `fit`; for classes Y is one-hot, so the
    largest output is the predicted class; for labels Y is -1 and 1, so that an output above 0 is a yes.

    Args:
        fit: representations the readout is fitted on.
        target: their labels, `samples`.
        ask: representations to predict for.
        task: regression, multi-class or multi-label.
        penalty: ridge penalty, in units of a standardised feature's variance.

    Returns:
        `others` (regression), `others class` or `others label`.
    """
    fit, ask = fit.double(), ask.double()
    mean, scale = fit.mean(0), fit.std(0)
    scale = torch.where(scale > 1e-8 * scale.max().clamp_min(1e-30), scale, torch.full_like(scale, torch.inf))
    fit, ask = (fit - mean) / scale, (ask - mean) / scale
    wanted = _wanted(target, task)
    centre = wanted.mean(0)
    gram = fit.T @ fit / len(fit) + penalty * torch.eye(fit.shape[1], dtype=fit.dtype, device=fit.device)
    weight = torch.linalg.solve(gram, fit.T @ (wanted - centre) / len(fit))
    prediction = ask @ weight + centre
    return prediction[:, 0] if isinstance(task, Regression) else prediction


def _wanted(target: Tensor, task: Task) -> Tensor:
    """What the linear map is to give, `samples outputs`."""
    if isinstance(task, Regression):
        return target.double()[:, None]
    return functional.one_hot(target, len(task.spec.classes)).double() if isinstance(task, MultiClass) else 2 * target.double() - 1
