"""Graph-MFN against its naive transcription, and what its graph promises."""

import numpy as np
import pytest
import torch
from reference import graph_mfn as reference
from reference import mfn

from workbench import methods
from workbench.errors import ConfigError
from workbench.fusion.dynamic_graph import DynamicFusionGraph
from workbench.taps import record

SETTINGS = {"hidden_size": 4, "memory_size": 5, "node_size": 3, "network_size": 6, "retain_size": 3, "update_size": 8, "post_size": 2}


def arrays(module):
    return [p.detach().numpy() for p in module.parameters()]


def summary(graph):
    """The transcription of the graph, with the weights of ours."""
    singles = {name: arrays(layer) for name, layer in graph.singletons.items()}
    networks = {tuple(name.split("+")): arrays(network) for name, network in graph.networks.items()}
    output, efficacies = arrays(graph.output), arrays(graph.efficacies)

    def step(before, now):
        named = [dict(zip(singles, memories, strict=True)) for memories in (before, now)]
        return reference.graph_step(*named, singles, networks, output, efficacies)

    return step


@pytest.mark.parametrize("kinds", [{"text": "tokens", "audio": "sequence"}, None, dict.fromkeys(("a", "b", "c", "d", "e"), "sequence")])
def test_model_meets_the_transcription(mixed_maker, kinds):
    data = mixed_maker(kinds, train=4, other=4)
    model = methods.build("graph_mfn", SETTINGS, data.spec, seed=3).double().eval()
    batch = data["valid"].batch(torch.arange(4))
    z, fusion = {}, model.fusion
    centre = fusion.system.reference
    with record(model, "*") as trace:
        fused = model(batch).fused
    for name in model.modalities:
        value = model.encoders[name](batch[name])
        z[name] = (model.projections[name](value.values) * value.mask[:, :, None]).detach()
    lstms = [arrays(lstm) for lstm in fusion.system.lstms.values()]
    memory = [arrays(network) for network in (fusion.memory.candidate, fusion.memory.retain, fusion.memory.update)]
    for row in range(4):
        steps = int(batch[centre].mask[row].sum())
        sequences = [mfn.onto(z[name][row].numpy(), batch[name].mask[row].tolist(), steps) for name in model.modalities]
        found = mfn.run(sequences, lstms, summary(fusion.attention), *memory)
        np.testing.assert_allclose(fused[row].detach().numpy(), found["output"], atol=1e-10)
        seen = trace.dataset()
        np.testing.assert_allclose(seen["fusion.attention.efficacy"].values[row], found["seen"].mean(0), atol=1e-6)
        np.testing.assert_allclose(seen["fusion.attention.efficacy_by_step"].values[row, :steps], found["seen"], atol=1e-6)
        names = [f"{'+'.join(start)}->{'+'.join(end)}" for start, end in reference.edges(list(model.modalities))]
        assert seen["edge"].values.tolist() == names
        direct = [names.index(f"{name}->output") for name in model.modalities]
        np.testing.assert_allclose(seen["fusion.attention.direct"].values[row], found["seen"].mean(0)[direct], atol=1e-6)


def graph(names, **settings):
    return DynamicFusionGraph(names, reference=names[0], size=4, node_size=3, hidden_size=6, dropout=0.0, **settings)


@pytest.mark.parametrize(("count", "vertices", "edges"), [(2, 3, 5), (3, 7, 19), (4, 15, 65), (5, 31, 211)])
def test_numbers_of_vertices_and_edges(count, vertices, edges):
    found = graph([f"m{i}" for i in range(count)])
    assert (len(found.vertices), len(found.edges)) == (vertices, edges)
    # every pair (r, s) of sets with r within s and not s: 3^M - 2^{M+1} + 1 without the empty one; and one edge a vertex to the output
    assert edges == 3**count - 2 ** (count + 1) + 1 + vertices


def test_edges_of_three_modalities():
    found = list(graph(["text", "audio", "vision"]).efficacy.coordinates["edge"])
    assert found[:3] == ["text->text+audio", "audio->text+audio", "text->text+vision"]
    assert [edge for edge in found if edge.endswith("->text+audio+vision")] == [
        f"{start}->text+audio+vision" for start in ("text", "audio", "vision", "text+audio", "text+vision", "audio+vision")
    ]
    assert found[-1] == "text+audio+vision->output"


def test_a_closed_edge_lets_nothing_through():
    """With every efficacy at 0 but those of text alone, only text's memories move the output."""
    found = graph(["text", "audio"]).double()
    names = found.efficacy.coordinates["edge"]
    with torch.no_grad():
        found.efficacies[3].weight.zero_()
        found.efficacies[3].bias.copy_(torch.tensor([800.0 if edge == "text->output" else -800.0 for edge in names]))
    window = torch.randn(3, 2, 2, 2, 4, dtype=torch.float64, requires_grad=True)
    found(window, torch.ones(2, 3, dtype=torch.bool)).sum().backward()
    assert window.grad[:, :, :, 0].abs().sum() > 0
    assert window.grad[:, :, :, 1].abs().sum() == 0


def test_six_modalities_are_too_many():
    with pytest.raises(ConfigError, match="6 of them are 63 vertices") as error:
        graph([f"m{i}" for i in range(6)])
    assert "mfn" in str(error.value)


def test_parameter_count_is_the_paper_s(toy):
    def network(size, hidden, outputs):
        return (size + 1) * hidden + (hidden + 1) * outputs

    model = methods.build("graph_mfn", SETTINGS, toy.spec)
    projections = sum((size + 1) * 4 for size in (12, 8, 6))
    lstms = 3 * (4 * 4 * (4 + 4) + 8 * 4)
    pairs, triple, output, efficacies = 3 * network(2 * 3, 6, 3), network(6 * 3, 6, 3), network(7 * 3, 6, 3), network(3 * 3, 6, 19)
    nodes = 3 * (8 + 1) * 3 + pairs + triple + output + efficacies
    memory = network(3, 6, 5) + network(3, 3, 5) + network(3, 8, 5)
    assert sum(p.numel() for p in model.parameters()) == projections + lstms + nodes + memory + network(3 * 4 + 5, 2, 1)
