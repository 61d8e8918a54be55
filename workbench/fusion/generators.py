"""Generators of one modality's representation from what the others say: a conditional VAE and a small latent diffusion.

Both work on standardised representations, have a loss a sample, and synthesise; which modality, and when, is `workbench.fusion.generative`'s affair.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.attention import positions

LOG_VARIANCE = 6.0
"""Bound of every log variance: no exponential of the KL term can overflow, no variance can vanish."""


def perceptron(size: int, inner_size: int, out_size: int) -> nn.Sequential:
    """Linear, ReLU, linear."""
    return nn.Sequential(nn.Linear(size, inner_size), nn.ReLU(), nn.Linear(inner_size, out_size))


def gaussian_kl(
    mean: Float[Tensor, "batch latent"],
    log_variance: Float[Tensor, "batch latent"],
    other_mean: Float[Tensor, "batch latent"],
    other_log_variance: Float[Tensor, "batch latent"],
) -> Float[Tensor, " batch"]:
    """KL(q || p) of two normal distributions with independent features [nats]: 1/2 sum (log(p/q) - 1 + (q + (m_q - m_p)^2) / p), variances p, q."""
    ratio = (log_variance.exp() + (mean - other_mean).square()) * (-other_log_variance).exp()
    return (other_log_variance - log_variance - 1 + ratio).sum(1) / 2


class ConditionalVAE(nn.Module):
    """A variational autoencoder of a representation x, given a condition c.

    Source: Sohn, Lee, Yan: Learning structured output representation using deep conditional generative models (NeurIPS 2015), Eqs. (4), (5):
        log p(x | c) >= E_q(u | x, c) log p(x | u, c) - KL(q(u | x, c) || p(u | c)),   beta before the KL as in Higgins et al. (ICLR 2017)
        q, p normal with independent features;  -log p(x | u, c) = 1/2 ||x - decoder(u, c)||^2 + constant
    Decides: both terms are divided by the width of x; log variances are kept in (-6, 6) by 6 tanh(v / 6).

    Args:
        size: width of x.
        condition_size: width of c.
        latent_size: width of u.
        inner_size: hidden width of encoder, prior and decoder.
        beta: weight of the KL term.
    """

    def __init__(self, size: int, condition_size: int, *, latent_size: int, inner_size: int, beta: float) -> None:
        super().__init__()
        self.beta = beta
        self.encoder = perceptron(size + condition_size, inner_size, 2 * latent_size)
        self.prior = perceptron(condition_size, inner_size, 2 * latent_size)
        self.decoder = perceptron(latent_size + condition_size, inner_size, size)

    def losses(
        self, x: Float[Tensor, "batch feature"], condition: Float[Tensor, "batch condition"], noise: Float[Tensor, "batch latent"] | None = None
    ) -> dict[str, Float[Tensor, " batch"]]:
        """Reconstruction and (weighted) KL term of each sample [nats a feature]; `noise` is drawn where it is not given."""
        mean, log_variance = self._gaussian(self.encoder(torch.cat([x, condition], dim=1)))
        noise = torch.randn_like(mean) if noise is None else noise
        made = self._decoded(mean + (log_variance / 2).exp() * noise, condition)
        kl = gaussian_kl(mean, log_variance, *self._gaussian(self.prior(condition)))
        return {"reconstruction": (x - made).square().mean(1) / 2, "kl": self.beta * kl / x.shape[1]}

    def synthesise(self, condition: Float[Tensor, "batch condition"]) -> Float[Tensor, "batch feature"]:
        """decoder(u, c) at the prior's mean u."""
        return self._decoded(self._gaussian(self.prior(condition))[0], condition)

    def _decoded(self, latent: Tensor, condition: Tensor) -> Tensor:
        return self.decoder(torch.cat([latent, condition], dim=1))

    def _gaussian(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and bounded log variance."""
        mean, log_variance = numbers.chunk(2, dim=1)
        return mean, LOG_VARIANCE * torch.tanh(log_variance / LOG_VARIANCE)


def kept_signal(steps: int) -> Float[Tensor, " step"]:
    """The share of variance that is still signal after 1..T noise steps (float64).

    Source: Nichol, Dhariwal: Improved denoising diffusion probabilistic models (ICML 2021), Eq. (17):
        alpha_bar_t = f(t) / f(0),  f(t) = cos((t/T + s) / (1 + s) pi/2)^2,  s = .008.
    """
    t = torch.arange(steps + 1, dtype=torch.float64)
    f = torch.cos((t / steps + 0.008) / 1.008 * math.pi / 2).square()
    return f[1:] / f[0]


class LatentDiffusion(nn.Module):
    """A diffusion model of a representation x, given a condition c: it learns to tell noise and signal in a noisy x apart.

    Source: Ho, Jain, Abbeel: Denoising diffusion probabilistic models (NeurIPS 2020), Eq. (4); few deterministic steps by Song, Meng, Ermon:
    Denoising diffusion implicit models (ICLR 2021), Eq. (12) with sigma = 0:
        x_t = sqrt(abar_t) x + sqrt(1 - abar_t) e,   v = sqrt(abar_t) e - sqrt(1 - abar_t) x,   L = |v - predictor(x_t, t, c)|^2
        x_0 = sqrt(abar_t) x_t - sqrt(1 - abar_t) v_hat,   e_hat = (x_t - sqrt(abar_t) x_0) / sqrt(1 - abar_t)
        x_s = sqrt(abar_s) x_0 + sqrt(1 - abar_s) e_hat   for the next s < t
    Decides:
    - v, not e, as in Salimans, Ho: Progressive distillation for fast sampling of diffusion models (ICLR 2022), section 4: L is the squared error of
      the noise divided by abar_t. Predicting e, a synthesis of few steps divides an error by a number near zero where it begins (where one
      modality follows from another, the error without it was .23 with v, .51 with e, .77 with zeros; three seeds).
    - The start noise is fixed (a buffer drawn with the first weights), and the synthesis is the mean over `draws` of them: an estimate of what is to
      be expected, not one possibility, and the same in training and after it. x_0 is kept in (-4, 4) standard deviations.
    - The synthesis has no gradient: the predictor learns from the noise, not from the task.

    Args:
        size: width of x.
        condition_size: width of c.
        inner_size: hidden width of the predictor.
        steps: noise steps T.
        sampling_steps: steps of a synthesis.
        draws: fixed start noises of a synthesis.
    """

    TIME, BOUND = 16, 4.0

    def __init__(self, size: int, condition_size: int, *, inner_size: int, steps: int, sampling_steps: int, draws: int) -> None:
        super().__init__()
        self.steps = steps
        self.sampled = torch.linspace(steps - 1, 0, min(sampling_steps, steps), dtype=torch.float64).round().long().tolist()
        self.enter = nn.Linear(size + self.TIME + condition_size, inner_size)
        self.leave = nn.Sequential(nn.ReLU(), nn.Linear(inner_size, inner_size), nn.ReLU(), nn.Linear(inner_size, size))
        self.register_buffer("start", torch.randn(draws, size))

    def predicted(
        self, noisy: Float[Tensor, "*batch feature"], step: Int[Tensor, "*batch"], condition: Float[Tensor, "*batch condition"]
    ) -> Float[Tensor, "*batch feature"]:
        """v_hat of a noisy x; `step` counts from 0."""
        time = positions(self.steps, self.TIME).to(noisy)[step]
        return self.leave(self.enter(torch.cat([noisy, time, condition], dim=-1)))

    def losses(
        self,
        x: Float[Tensor, "batch feature"],
        condition: Float[Tensor, "batch condition"],
        noise: Float[Tensor, "batch feature"] | None = None,
        step: Int[Tensor, " batch"] | None = None,
    ) -> dict[str, Float[Tensor, " batch"]]:
        """The mean squared error of v_hat for each sample; noise and step are drawn where they are not given."""
        noise = torch.randn_like(x) if noise is None else noise
        step = torch.randint(self.steps, (len(x),), device=x.device) if step is None else step
        kept = kept_signal(self.steps).to(x)[step][:, None]
        signal, rest = kept.sqrt(), (1 - kept).sqrt()
        guess = self.predicted(signal * x + rest * noise, step, condition)
        return {"denoising": (signal * noise - rest * x - guess).square().mean(1)}

    @torch.no_grad()
    def synthesise(self, condition: Float[Tensor, "batch condition"]) -> Float[Tensor, "batch feature"]:
        """From noise to a representation in few steps: the mean over the fixed starts."""
        x = self.start[:, None].expand(-1, condition.shape[0], -1)
        condition = condition.expand(x.shape[0], -1, -1)
        kept = kept_signal(self.steps).to(condition)
        for t, after in zip(self.sampled, [*self.sampled[1:], None], strict=True):
            signal, rest = kept[t].sqrt(), (1 - kept[t]).sqrt()
            guess = self.predicted(x, torch.full(x.shape[:2], t, device=x.device), condition)
            clean = (signal * x - rest * guess).clamp(-self.BOUND, self.BOUND)
            noise = (x - signal * clean) / rest
            x = clean if after is None else kept[after].sqrt() * clean + (1 - kept[after]).sqrt() * noise
        return x.mean(0)
