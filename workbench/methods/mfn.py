"""MFN: one LSTM a modality, attention over their memories before and now, and a gated memory of what the modalities do together.

Source: Zadeh, Liang, Mazumder, Poria, Cambria, Morency: Memory fusion network for multi-view sequential learning. AAAI 2018.

    System of LSTMs          h_i^t, c_i^t = LSTM_i(z_i^t, h_i^{t-1}, c_i^{t-1})                             -> workbench.fusion.memory_fusion
    Delta-memory attention   a = softmax(D_a(c^{[t-1,t]})),  c_hat = c^{[t-1,t]} * a
    Gated memory             u^t = gamma_1^t * u^{t-1} + gamma_2^t * tanh(D_u(c_hat)),  gamma_k^t = sigmoid(D_gamma_k(c_hat))
    Output                   [h_1^T, ..., h_M^T, u^T] -> post layers -> prediction, T the last real step

where D_a, D_u, D_gamma1, D_gamma2 (NN1, NN2, gamma1, gamma2 in the public settings) are linear, ReLU, dropout, linear.

Differs:
- W_i is a linear layer on each step before the LSTM, and all modalities share one width d; the public settings give each LSTM its own (here: text's).
- The paper has words aligned with sound and face; here every modality is brought onto the reference's steps (text's, where there is text).
- The gates see c_hat, as the paper has it; the authors' program shows them u^{t-1} too, which allows no step to be computed before the one before it.
"""

from pydantic import Field

from workbench.data.batch import Spec
from workbench.fusion.memory_fusion import DeltaMemoryAttention, GatedMemory, MemoryFusion, SystemOfLSTMs
from workbench.methods import Preset, at_least_two
from workbench.methods.networks import StepConfig, post_layers, reference_modality, step_networks
from workbench.model import FusionModel

FAMILY = "attention"

BALANCE = None
"""The balancing rule that belongs to the method."""

NEEDS = ""


class MemoryConfig(StepConfig):
    """What MFN and Graph-MFN share: the gated memory."""

    hidden_size: int = Field(64, ge=1, le=8192, description="width d of each modality's steps and LSTM")
    memory_size: int = Field(128, ge=1, le=8192, description="width of the memory u")
    retain_size: int = Field(64, ge=1, le=8192, description="hidden width of the network of the retain gate gamma_1")
    retain_dropout: float = Field(0.0, ge=0, lt=1, description="dropout in the network of gamma_1")
    update_size: int = Field(64, ge=1, le=8192, description="hidden width of the network of the update gate gamma_2")
    update_dropout: float = Field(0.0, ge=0, lt=1, description="dropout in the network of gamma_2")


class Config(MemoryConfig):
    """MFN's settings."""

    attention_size: int = Field(32, ge=1, le=8192, description="hidden width of the attention's network D_a (NN1)")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="dropout in D_a")
    candidate_size: int = Field(64, ge=1, le=8192, description="hidden width of the network D_u of what is new to the memory (NN2)")
    candidate_dropout: float = Field(0.0, ge=0, lt=1, description="dropout in D_u")


def _mmsa(dataset: str, plan: tuple[int, float, float], hidden: int, memory: int, parts: dict[str, tuple[int, float]]) -> Preset:
    """A column of MMSA's settings: plan = batch size, rate, weight decay; parts = width and dropout by name."""
    widths = {("post_size" if part == "post" else f"{part}_size"): width for part, (width, _) in parts.items()}
    dropouts = {("dropout" if part == "post" else f"{part}_dropout"): dropout for part, (_, dropout) in parts.items()}
    batch_size, rate, decay = plan
    training = {"batch_size": batch_size, "learning_rate": rate, "weight_decay": decay, "patience": 8, "epochs": 100}
    return Preset({"hidden_size": hidden, "memory_size": memory, **widths, **dropouts}, training, f"MMSA config_regression.json, mfn on {dataset}")


def _parts(attention: tuple, candidate: tuple, retain: tuple, update: tuple, post: tuple) -> dict[str, tuple[int, float]]:
    """NN1, NN2, gamma1, gamma2 and out."""
    return {"attention": attention, "candidate": candidate, "retain": retain, "update": update, "post": post}


PRESETS = {
    "mosi": _mmsa("mosi", (128, 2e-3, 0.0), 256, 400, _parts((32, 0.2), (64, 0.0), (256, 0.7), (32, 0.5), (128, 0.0))),
    "mosei": _mmsa("mosei", (64, 5e-4, 1e-4), 128, 128, _parts((128, 0.2), (128, 0.5), (256, 0.7), (256, 0.0), (128, 0.5))),
    "sims": _mmsa("sims", (32, 1e-3, 0.0), 64, 64, _parts((128, 0.2), (128, 0.0), (64, 0.2), (64, 0.7), (64, 0.7))),
}


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set."""
    at_least_two(spec, owner="mfn")
    modalities, reference = tuple(spec.modalities), reference_modality(spec)
    encoders, projections = step_networks(config, spec)
    attention = DeltaMemoryAttention(
        modalities, reference=reference, size=config.hidden_size, hidden_size=config.attention_size, dropout=config.attention_dropout
    )
    memory = gated_memory(config, attention.size, reference=reference, candidate=(config.candidate_size, config.candidate_dropout))
    fusion = MemoryFusion(SystemOfLSTMs(modalities, reference=reference, size=config.hidden_size), attention, memory)
    head = post_layers(config.hidden_size * len(modalities) + config.memory_size, config.post_size, spec.task.outputs, dropout=config.dropout)
    return FusionModel(encoders, projections, fusion, head)


def gated_memory(config: MemoryConfig, inputs: int, *, reference: str, candidate: tuple[int, float]) -> GatedMemory:
    """The memory u as the settings have it; `candidate` is hidden width and dropout of D_u."""
    return GatedMemory(
        inputs,
        reference=reference,
        size=config.memory_size,
        candidate=candidate,
        retain=(config.retain_size, config.retain_dropout),
        update=(config.update_size, config.update_dropout),
    )
