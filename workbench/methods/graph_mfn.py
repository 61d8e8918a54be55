"""Graph-MFN: MFN whose attention is a graph over all sets of modalities, with edges that the data switches on and off.

Source: Zadeh, Liang, Poria, Cambria, Morency: Multimodal language analysis in the wild: CMU-MOSEI dataset and interpretable dynamic fusion graph.
ACL 2018.

    System of LSTMs        h_i^t, c_i^t = LSTM_i(z_i^t, h_i^{t-1}, c_i^{t-1})                               -> workbench.fusion.memory_fusion
    Dynamic fusion graph   v_{m} = D_m(c_m^{[t-1,t]}),  v_s = D_s([alpha_{r->s} v_r for r within s])        -> workbench.fusion.dynamic_graph
                           T = D_T([alpha_{s->T} v_s for all s]),  alpha = sigmoid(D_alpha(v_{1}, ..., v_{M}))
    Gated memory           u^t = gamma_1^t * u^{t-1} + gamma_2^t * tanh(D_u(T^t)),  gamma_k^t = sigmoid(D_gamma_k(T^t))
    Output                 [h_1^last, ..., h_M^last, u^last] -> post layers -> prediction, at the last real step

where s runs over the 2^M - 1 non-empty sets of modalities and r over the sets within s. For three modalities the graph has 19 edges.

Differs: as MFN (one width d, W_i before the LSTMs, modalities brought onto the reference's steps, gates that do not see u^{t-1}).
Decides: D_m is one linear layer; D_s, D_T, D_alpha and D_u are linear, ReLU, dropout, linear with one hidden width (the public settings' NN).
"""

from pydantic import Field

from workbench.data.batch import Spec
from workbench.fusion.dynamic_graph import DynamicFusionGraph
from workbench.fusion.memory_fusion import MemoryFusion, SystemOfLSTMs
from workbench.methods import Preset, at_least_two
from workbench.methods.mfn import MemoryConfig, gated_memory
from workbench.methods.networks import post_layers, reference_modality, step_networks
from workbench.model import FusionModel

FAMILY = "graph"

BALANCE = None
"""The balancing rule that belongs to the method."""

NEEDS = "five modalities at most: it has a vertex for every set of them"


class Config(MemoryConfig):
    """Graph-MFN's settings."""

    node_size: int = Field(64, ge=1, le=8192, description="width of a vertex")
    network_size: int = Field(32, ge=1, le=8192, description="hidden width of the graph's networks and of D_u")
    network_dropout: float = Field(0.0, ge=0, lt=1, description="dropout in these networks")


def _mmsa(
    dataset: str, plan: tuple[int, float, float], sizes: tuple[int, int, int], network: tuple, retain: tuple, update: tuple, post: tuple
) -> Preset:
    """A column of MMSA's settings: plan = batch size, rate, weight decay; sizes = LSTM, memory, vertex; the others width and dropout."""
    parts = {"network": network, "retain": retain, "update": update}
    config = {f"{part}_{kind}": value for part, pair in parts.items() for kind, value in zip(("size", "dropout"), pair, strict=True)}
    config |= dict(zip(("hidden_size", "memory_size", "node_size"), sizes, strict=True))
    batch_size, rate, decay = plan
    training = {"batch_size": batch_size, "learning_rate": rate, "weight_decay": decay, "patience": 8, "epochs": 100}
    return Preset({**config, "post_size": post[0], "dropout": post[1]}, training, f"MMSA config_regression.json, graph_mfn on {dataset}")


PRESETS = {
    "mosi": _mmsa("mosi", (32, 2e-3, 5e-3), (256, 300, 64), (32, 0.0), (128, 0.5), (64, 0.5), (256, 0.0)),
    "mosei": _mmsa("mosei", (64, 2e-3, 1e-3), (64, 300, 128), (32, 0.5), (64, 0.0), (256, 0.7), (128, 0.7)),
    "sims": _mmsa("sims", (64, 5e-4, 1e-3), (256, 64, 128), (256, 0.5), (32, 0.2), (32, 0.7), (256, 0.2)),
}


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set.

    Raises:
        ConfigError: fewer than two modalities, or more than five.
    """
    at_least_two(spec, owner="graph_mfn")
    modalities, reference = tuple(spec.modalities), reference_modality(spec)
    encoders, projections = step_networks(config, spec)
    settings = {"node_size": config.node_size, "hidden_size": config.network_size, "dropout": config.network_dropout}
    graph = DynamicFusionGraph(modalities, reference=reference, size=config.hidden_size, **settings)
    memory = gated_memory(config, graph.size, reference=reference, candidate=(config.network_size, config.network_dropout))
    fusion = MemoryFusion(SystemOfLSTMs(modalities, reference=reference, size=config.hidden_size), graph, memory)
    head = post_layers(config.hidden_size * len(modalities) + config.memory_size, config.post_size, spec.task.outputs, dropout=config.dropout)
    return FusionModel(encoders, projections, fusion, head)
