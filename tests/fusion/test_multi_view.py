"""The gate and the graph of MLDFA against their naive transcription, and what the equations say of one, equal and opposite modalities."""

import numpy as np
import pytest
import torch
from reference import mldfa as reference

from workbench.errors import ConfigError
from workbench.fusion.adaptive_attention import AdaptiveAttention
from workbench.fusion.context import Context
from workbench.fusion.hierarchical_alignment import HierarchicalAlignment
from workbench.fusion.multi_view import ModalityGate, MultiViewFusion, SimilarityGraph, cosines
from workbench.taps import record

NAMES = ("text", "audio", "vision")
SIZE = 4
PRESENT = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=torch.bool)
"""All there, one missing, one alone, none."""


def some(seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.randn(len(PRESENT), len(NAMES), SIZE, dtype=torch.float64) * PRESENT[:, :, None]


def of_sample(nodes: torch.Tensor, i: int) -> tuple[dict[str, np.ndarray], dict[str, bool]]:
    return dict(zip(NAMES, nodes[i].numpy(), strict=True)), dict(zip(NAMES, PRESENT[i].tolist(), strict=True))


def graph(names=NAMES, **settings) -> SimilarityGraph:
    """A graph whose norm is not the identity."""
    torch.manual_seed(3)
    found = SimilarityGraph(SIZE, names, **settings).double()
    torch.nn.init.normal_(found.norm.weight)
    torch.nn.init.normal_(found.norm.bias)
    return found


@pytest.mark.parametrize("weights", ["shared", "per_modality"])
def test_the_gate_meets_the_transcription(weights):
    gate, nodes = ModalityGate(SIZE, NAMES, weights=weights).double(), some()
    numbers = {name: value.numpy() for name, value in gate.state_dict().items()}
    with record(gate, "*") as trace:
        found = gate(nodes, PRESENT)
    seen = trace.dataset()
    for i in range(len(PRESENT)):
        gates, gated = reference.eq27_gated(*of_sample(nodes, i), numbers, "linear")
        np.testing.assert_allclose(found[i].detach().numpy(), np.array(list(gated.values())), atol=1e-10)
        np.testing.assert_allclose(seen["gate"].values[i], np.array(list(gates.values())), atol=1e-6)
    np.testing.assert_allclose(seen["mean"].values, seen["gate"].values.mean(-1), atol=1e-6)


@pytest.mark.parametrize("edges", ["cosine", "softmax"])
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_the_graph_meets_the_transcription(edges, activation):
    view, nodes = graph(edges=edges, activation=activation), some()
    numbers = {name: value.numpy() for name, value in view.state_dict().items()}
    with record(view, "adjacency") as trace:
        fused = view(nodes, PRESENT)
    adjacency = trace.dataset()["adjacency"]
    assert adjacency.dims == ("batch", "modality", "modality_attended")
    for i in range(len(PRESENT)):
        z, there = of_sample(nodes, i)
        expected = reference.eq30_graph_view(z, there, numbers, edges=edges, activation=activation)
        np.testing.assert_allclose(fused[i].detach().numpy(), expected, atol=1e-10)
        np.testing.assert_allclose(adjacency.values[i], reference.eq28_edges(z, there, edges=edges), atol=1e-6)
    if edges == "softmax":
        np.testing.assert_allclose(adjacency.values.sum(-1), PRESENT.double().numpy(), atol=1e-6)


def test_no_view_looks_behind_what_is_not_there():
    nodes, behind = some(), some() + torch.where(PRESENT, 0.0, 99.0)[:, :, None]
    for view in (graph(), graph(edges="softmax"), AdaptiveAttention(SIZE, NAMES, heads=2).double()):
        assert torch.equal(view(nodes, PRESENT), view(behind, PRESENT))
    assert torch.equal(graph().built(nodes, PRESENT), graph().built(behind, PRESENT))


def edges_and_message(nodes: list[list[float]], *, message: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The adjacency, and sigma(sum) with W_g = 1, of one sample in which every modality is there."""
    values = torch.tensor([nodes], dtype=torch.float64)
    view = SimilarityGraph(values.shape[2], [f"m{i}" for i in range(values.shape[1])]).double()
    present = torch.ones(values.shape[:2], dtype=torch.bool)
    torch.nn.init.eye_(view.message.weight)
    torch.nn.init.ones_(view.norm.weight)
    adjacency = view.built(values, present)
    heard = torch.sigmoid(adjacency @ values).flatten(1)
    normalised = (heard - heard.mean(1, keepdim=True)) / (heard.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(view(values, present), normalised)
    return adjacency[0].detach().numpy(), (adjacency @ values)[0].detach().numpy()


def test_a_single_modality_hears_itself_with_weight_one():
    adjacency, heard = edges_and_message([[3.0, -4.0]])
    np.testing.assert_allclose(adjacency, [[1.0]], atol=1e-12)
    np.testing.assert_allclose(heard, [[3.0, -4.0]], atol=1e-12)


def test_modalities_that_say_the_same_hear_their_sum():
    adjacency, heard = edges_and_message([[3.0, 4.0]] * 3)
    np.testing.assert_allclose(adjacency, np.ones((3, 3)), atol=1e-12)
    np.testing.assert_allclose(heard, [[9.0, 12.0]] * 3, atol=1e-12)


def test_of_opposite_modalities_messages_have_the_weight_minus_one():
    """z and -2 z: the first hears z - (-2 z) = 3 z, the second -2 z - z = -3 z. What the cosine turns round adds up; it does not cancel."""
    adjacency, heard = edges_and_message([[1.0, 2.0], [-2.0, -4.0]])
    np.testing.assert_allclose(adjacency, [[1, -1], [-1, 1]], atol=1e-12)
    np.testing.assert_allclose(heard, [[3, 6], [-3, -6]], atol=1e-12)


def test_orthogonal_modalities_hear_themselves_alone():
    adjacency, heard = edges_and_message([[0.0, 2.0], [5.0, 0.0]])
    np.testing.assert_allclose(adjacency, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(heard, [[0, 2], [5, 0]], atol=1e-12)


def test_cosines_can_be_differentiated_twice_also_at_zero():
    nodes = some().requires_grad_()
    cosine = torch.nn.functional.cosine_similarity(nodes[:, :, None], nodes[:, None], dim=-1)
    torch.testing.assert_close(cosines(nodes), cosine, atol=1e-12, rtol=0)
    assert cosines(nodes)[3].abs().max() == 0
    assert torch.autograd.gradgradcheck(cosines, nodes[:1].detach().requires_grad_())
    for dtype in (torch.float32, torch.float64):
        at = nodes.detach().to(dtype).requires_grad_()
        (first,) = torch.autograd.grad((cosines(at) @ at).tanh().sum(), at, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), at)
        assert bool(first.isfinite().all()) and bool(second.isfinite().all())


def test_the_gradient_goes_through_the_edges():
    """Of two unit vectors at a right angle, turning one towards the other changes what both hear only by way of the edge."""
    nodes = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64, requires_grad=True)
    view = SimilarityGraph(2, ("one", "other"))
    heard = (view.built(nodes, torch.ones(1, 2, dtype=torch.bool)) @ nodes)[0, 0, 1]
    # d/dz_12 of [A z]_12 = z_12 + cos * z_22: 1 (own) + z_22 * z_22 = 2; without the edge's gradient it would be 1
    assert torch.autograd.grad(heard, nodes)[0][0, 0, 1] == pytest.approx(2.0)


def fusion(**settings) -> MultiViewFusion:
    torch.manual_seed(5)
    alignment = HierarchicalAlignment(SIZE, NAMES, steps=())
    parts = {"gate": ModalityGate(SIZE, NAMES), "attention": AdaptiveAttention(SIZE, NAMES), "graph": SimilarityGraph(SIZE, NAMES)}
    return MultiViewFusion(alignment, **{**parts, **settings}).double()


def test_views_stand_side_by_side_and_read_what_they_are_told():
    nodes = some()
    values = {name: nodes[:, i] for i, name in enumerate(NAMES)}
    context = Context({name: PRESENT[:, i, None] for i, name in enumerate(NAMES)}, {}, torch.arange(4))
    for read in ("gated", "aligned"):
        both = fusion(graph_nodes=read)
        fused, losses = both(values, {}, context)
        gated = both.gate(nodes, PRESENT)
        expected = [both.attention(gated, PRESENT), both.graph(gated if read == "gated" else nodes, PRESENT)]
        assert losses == {}
        assert both.size == 2 * len(NAMES) * SIZE
        torch.testing.assert_close(fused, torch.cat(expected, dim=1))
    one = fusion(attention=None)
    assert one(values, {}, context)[0].shape == (4, one.size) == (4, len(NAMES) * SIZE)


def test_a_fusion_without_views_or_with_a_gate_for_nobody_is_refused():
    with pytest.raises(ConfigError, match=r"both views are off[\s\S]*has_attention_view or has_graph_view"):
        fusion(attention=None, graph=None)
    with pytest.raises(ConfigError, match=r"no view reads what it gives[\s\S]*has_gate=false"):
        fusion(attention=None, graph_nodes="aligned")
    assert fusion(attention=None, graph_nodes="aligned", gate=None).size == 3 * SIZE
