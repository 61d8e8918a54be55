"""Constraint family, coordinated representations: terms of the loss that say how the modalities' representations shall relate.

    central_moment_discrepancy   alike in distribution: the central moments of bounded representations agree
    difference_loss              unlike in content: centred, normalised representations are orthogonal
    canonical_correlations       related linearly: correlations of the best linear combinations (to be made large)
    info_nce                     related sample by sample: a sample's own partner is nearer than the others'

Each takes two `batch feature` tensors whose rows are the same samples, and is finite with finite gradients for a batch of one or none, and for
constant, equal and linearly dependent representations.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from workbench.fusion.context import Context, Fused
from workbench.sequences import is_exporting
from workbench.taps import Tap

TINY = 1e-12
"""Added to squared lengths and variances that are divided by: far below any real one, and zero stays zero."""


def unit(rows: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch feature"]:
    """Rows of length one; a row of zeros stays, with a finite derivative."""
    return rows * (rows.square().sum(1, keepdim=True) + TINY).rsqrt()


def central_moment_discrepancy(a: Float[Tensor, "batch feature"], b: Float[Tensor, "others feature"], *, moments: int = 5) -> Float[Tensor, ""]:
    """How far apart two bounded distributions are: the distances of their means and of their central moments up to an order.

    Source: Zellinger et al.: Central moment discrepancy for domain-invariant representation learning (ICLR 2017), Definition 2, with the bounds
    a = 0, b = 1, so that every factor 1/|b - a|^k is one:
        CMD_K = || E(A) - E(B) || + sum_{k=2}^K || C_k(A) - C_k(B) ||,  C_k(X) = E((x - E(X))^k) feature by feature.

    Args:
        a, b: representations in [0, 1], such as after a sigmoid; the caller bounds them. Their rows need not be the same samples, nor as many.
        moments: highest order K.
    """
    if is_exporting() or not len(a) or not len(b):
        return (a.sum() + b.sum()) * 0
    mean_a, mean_b = a.mean(0), b.mean(0)
    centred_a, centred_b = a - mean_a, b - mean_b
    distances = [_length(mean_a - mean_b)]
    distances += [_length((centred_a**k).mean(0) - (centred_b**k).mean(0)) for k in range(2, moments + 1)]
    return torch.stack(distances).sum()


def difference_loss(a: Float[Tensor, "batch left"], b: Float[Tensor, "batch right"], *, is_mean: bool = True) -> Float[Tensor, ""]:
    """How far two representations of the same samples are from orthogonal: 0 where no feature of one goes with a feature of the other.

    Source: Bousmalis et al.: Domain separation networks (NeurIPS 2016), Eq. (5); Hazarika et al.: MISA (ACM MM 2020), section 3.4:
        L = || A^T B ||_F^2,  each feature centred over the batch, then each row of length one.
    Differs: divided by the number of entries of A^T B (left x right), which the published weights were chosen with; `is_mean=False` is as printed.

    Args:
        a, b: representations of the same samples; the gradient reaches both.
        is_mean: the mean of the squared entries instead of their sum.
    """
    if is_exporting() or not len(a):
        return (a.sum() + b.sum()) * 0
    squared = (unit(a - a.mean(0)).T @ unit(b - b.mean(0))).square()
    return squared.mean() if is_mean else squared.sum()


def canonical_correlations(a: Float[Tensor, "batch left"], b: Float[Tensor, "batch right"], *, ridge: float = 1e-3) -> Float[Tensor, " component"]:
    """The canonical correlations of two representations, largest first, each in [0, 1).

    Source: Andrew et al.: Deep canonical correlation analysis (ICML 2013), section 2: the singular values of
        T = S_aa^{-1/2} S_ab S_bb^{-1/2},  S_aa = A^T A / (n - 1) + r_a I  (A centred).
    Their sum is the total correlation (the trace norm of T), which deep CCA makes large.
    Decides: r = `ridge` x the mean variance of a feature, so that a larger representation is not a better correlated one; with fewer samples than
    features the covariances still can be inverted. Inverse Cholesky factors stand for the inverse roots: the singular values are the same, and their
    derivative has no poles where two eigenvalues meet. All of it in float64.

    Args:
        a, b: representations of the same samples. Fewer than two samples give zeros.
        ridge: how much of the mean variance is added to every variance.
    """
    if is_exporting() or len(a) < 2:
        return (a.sum() + b.sum()) * a.new_zeros(min(a.shape[1], b.shape[1]))
    centred_a, centred_b = (x.double() - x.double().mean(0) for x in (a, b))
    root_a, root_b = (_root(_covariance(x, x), ridge) for x in (centred_a, centred_b))
    left = torch.linalg.solve_triangular(root_a, _covariance(centred_a, centred_b), upper=False)
    whitened = torch.linalg.solve_triangular(root_b, left.T, upper=False).T
    return torch.linalg.svdvals(whitened).to(a.dtype)


def info_nce(a: Float[Tensor, "batch feature"], b: Float[Tensor, "batch feature"], *, temperature: float = 0.1) -> Float[Tensor, ""]:
    """How badly a sample is found by its partner among the batch [nats]: 0 is perfect, log(batch) is chance.

    Source: van den Oord et al.: Representation learning with contrastive predictive coding (2018), Eq. (4), in both directions as in Radford et al.:
    CLIP (ICML 2021), Figure 3:
        L = -1/2n sum_i [ log softmax_j(s_ij)_i + log softmax_j(s_ji)_i ],  s_ij = cos(a_i, b_j) / temperature.
    The only positive of a sample is the same sample.

    Args:
        a, b: representations of the same samples.
        temperature: of the similarities.
    """
    if is_exporting() or not len(a):
        return (a.sum() + b.sum()) * 0
    similarity = unit(a) @ unit(b).T / temperature
    own = torch.arange(len(a), device=a.device)
    return (functional.cross_entropy(similarity, own) + functional.cross_entropy(similarity.T, own)) / 2


def total_correlation_loss(a: Float[Tensor, "batch left"], b: Float[Tensor, "batch right"], *, ridge: float = 1e-3) -> Float[Tensor, ""]:
    """Minus the sum of the canonical correlations."""
    return -canonical_correlations(a, b, ridge=ridge).sum()


def bounded_discrepancy(a: Float[Tensor, "batch feature"], b: Float[Tensor, "batch feature"], *, moments: int = 5) -> Float[Tensor, ""]:
    """The central moment discrepancy of two unbounded representations, each through a sigmoid."""
    return central_moment_discrepancy(a.sigmoid(), b.sigmoid(), moments=moments)


class Coordinated(nn.Module):
    """The representations side by side, and a term that relates every pair of them over the samples that have both.

    Source: "coordinated representation" of the survey talk (Fig. 6 A).  fused = [w_1 z_1, ..., w_M z_M],  L = weight * sum_{i<j} term(z_i, z_j).

    Args:
        modalities: names in the card's order.
        term: two `batch feature` tensors to one number.
        name: of the loss term.
        weight: of the loss term.
    """

    is_across_samples = True

    def __init__(self, modalities: Sequence[str], term: Callable[[Tensor, Tensor], Tensor], *, name: str, weight: float) -> None:
        super().__init__()
        self.term, self.name, self.weight = term, name, weight
        self.pairs = list(combinations(modalities, 2))
        self.terms = Tap("pair", pair=tuple(" x ".join(pair) for pair in self.pairs))

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        terms = []
        for one, other in self.pairs:
            both = context.present(one) & context.present(other)
            terms.append(self.term(z[one][both], z[other][both]))
        return torch.cat(list(balanced.values()), dim=-1), {self.name: self.weight * self.terms(torch.stack(terms)).sum()}


class SharedPrivate(nn.Module):
    """Each representation in a shared part, by one network for all modalities, and a private one; no two of them may say the same.

        s_i = tanh(E_c z_i + b_c),  p_i = tanh(E_i z_i + b_i),  fused = [s_1, ..., s_M, p_1, ..., p_M]
        L = weight * ( sum_i difference(s_i, p_i) + sum_{i<j} difference(p_i, p_j) )

    Source: the encoders and the difference loss of MISA (Hazarika et al., ACM MM 2020), sections 3.3 and 3.4, alone; see `difference_loss`.
    Differs: tanh, not sigmoid: parts around zero train faster, and nothing here needs them in [0, 1].

    Args:
        modalities: names in the card's order.
        size: width of z_i and of each part.
        weight: of the term `difference`.
    """

    is_across_samples = True

    def __init__(self, modalities: Sequence[str], size: int, *, weight: float) -> None:
        super().__init__()
        self.shared = nn.Linear(size, size)
        self.private = nn.ModuleDict({name: nn.Linear(size, size) for name in modalities})
        self.weight = weight
        self.overlap = Tap("pair", pair=(*(f"{name} x shared" for name in modalities), *(" x ".join(pair) for pair in combinations(modalities, 2))))

    def forward(self, balanced: Mapping[str, Tensor], z: Mapping[str, Tensor], context: Context) -> Fused:
        present = {name: context.present(name) for name in balanced}
        shared = {name: self.shared(value).tanh() * present[name][:, None] for name, value in balanced.items()}
        private = {name: self.private[name](value).tanh() * present[name][:, None] for name, value in balanced.items()}
        terms = [difference_loss(shared[name][present[name]], private[name][present[name]]) for name in present]
        for one, other in combinations(present, 2):
            both = present[one] & present[other]
            terms.append(difference_loss(private[one][both], private[other][both]))
        fused = torch.cat([*shared.values(), *private.values()], dim=-1)
        return fused, {"difference": self.weight * self.overlap(torch.stack(terms)).sum()}


def _covariance(a: Tensor, b: Tensor) -> Tensor:
    return a.T @ b / (len(a) - 1)


def _root(covariance: Tensor, ridge: float) -> Tensor:
    """The lower triangular L with L L^T = covariance + ridge; a covariance of zeros has one, too."""
    size = len(covariance)
    identity = torch.eye(size, dtype=covariance.dtype, device=covariance.device)
    return torch.linalg.cholesky(covariance + (ridge * covariance.diagonal().mean() + TINY) * identity)


def _length(vector: Tensor) -> Tensor:
    """The Euclidean length, 0 with derivative 0 at zero."""
    squared = vector.square().sum()
    is_some = squared > 0
    # The inner choice keeps the root's derivative finite where it is not used.
    return torch.where(is_some, torch.where(is_some, squared, 1).sqrt(), 0)
