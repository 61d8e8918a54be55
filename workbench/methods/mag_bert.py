"""MAG-BERT: audio and vision shift the word embeddings of a pretrained transformer, which then reads the shifted words.

Source: Rahman, Hasan, Lee, Zadeh, Mao, Morency, Hoque: Integrating multimodal information in large pretrained transformers. ACL 2020.

    Eqs. (1), (2)   g_m = ReLU(W_gm [Z; V_m] + b_m)                      m: every modality but the centre (the paper: audio, vision)
    Eq. (3)         h = sum_m g_m * (W_m V_m) + b
    Eqs. (4), (5)   Z' = Z + alpha h,  alpha = min(|Z| / |h| beta, 1)
    section 4.2     LN(Z') and dropout, then the layers of the language model, the first token's state, the output

Differs:
- V_m is a projection W_m' of modality m's features (or of an LSTM's states) to width d, and Z the embeddings times a matrix that starts as the
  identity: every modality has its W_i, as balancing rules need it.
- Any number of other modalities: their gated displacements add up.
Decides:
- With `text="fine_tuned"` the centre is the text: the pretrained model's embedding layer, the gate, its encoder layers. Without a pretrained text the
  centre is the text, or else the first sequence, or else the first modality; its features are projected to width d and the language model is a small
  transformer of the method's own, trained from the start (positions are added after the gate). That is the paper's gate, not its pretraining.
- Other modalities are brought onto the centre's steps by equal shares of time; the paper has them aligned to words beforehand.
- The mean over the real tokens is read (the packaged MiniLM was pretrained so); `pooling="cls"` reads the first token as the paper does.
- A sample without the centre has no word to shift: it gets the same answer whatever the others say.
"""

from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from workbench.attention import Transformer
from workbench.data.batch import Modality, ModalitySpec, Spec
from workbench.errors import ConfigError
from workbench.fusion.adaptation_gate import AdaptationGate, ShiftedReading
from workbench.methods import Preset, at_least_two
from workbench.methods.networks import Networks, StepConfig, post_layers, reference_modality, single_steps, step_networks
from workbench.model import FusionModel
from workbench.sequences import Steps

FAMILY = "attention"

BALANCE = None
"""The balancing rule that belongs to the method."""

NEEDS = 'the paper\'s form: sentences and a BERT-family model (text="fine_tuned"); else a small language model of its own takes its place'


class Config(StepConfig):
    """MAG-BERT's settings."""

    beta: float = Field(1.0, gt=0, le=100, description="largest displacement of a word, in lengths of its embedding (beta)")
    pooling: Literal["mean", "cls"] = Field("mean", description="what is read of a pretrained model: the mean over its tokens, or the first (paper)")
    heads: int = Field(4, ge=1, le=256, description="heads of the own language model (no pretrained text); they divide hidden_size")
    layers: int = Field(2, ge=1, le=64, description="layers of the own language model (no pretrained text)")


def _mmsa(data: str, rate: float, dropout: float, **config: Any) -> Preset:
    """One data set of MMSA's configuration; all of them have batch 32, beta 1 and a BERT that is trained along."""
    plan = {"batch_size": 32, "learning_rate": rate, "text_learning_rate": rate, "weight_decay": 0.0, "patience": 8, "epochs": 50}
    return Preset({"text": "fine_tuned", "beta": 1.0, "dropout": dropout, **config}, plan, f"MMSA config_regression.json, bert_mag on {data}")


SPLIT_ALIKE = ("bert", "roberta", "xlm-roberta", "camembert")
"""Kinds of pretrained models (`config.model_type`) that are an embedding layer and an encoder of the same width with the same arguments."""

PRESETS = {
    "mosi": _mmsa("mosi", 2e-5, 0.3),
    "mosei": _mmsa("mosei", 1e-5, 0.2),
    "sims": _mmsa("sims", 5e-5, 0.1, text_model="bert-base-chinese"),
}


class PretrainedEmbeddings(nn.Module):
    """The embedding layer of a pretrained model: token ids in, one vector a token out, zeros where a token is not real."""

    is_pretrained = True

    def __init__(self, embeddings: nn.Module) -> None:
        super().__init__()
        self.embeddings = embeddings

    def forward(self, modality: Modality) -> Steps:
        return Steps(self.embeddings(input_ids=modality.values) * modality.mask[:, :, None], modality.mask)


class PretrainedLayers(nn.Module):
    """What follows the embedding layer in a pretrained model."""

    is_pretrained = True

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, embedded: Float[Tensor, "batch time size"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch time size"]:
        # The plain ("eager") attention adds its mask to the scores; the lowest number and not -inf, for sentences without a token.
        lowest = torch.finfo(embedded.dtype).min
        added = torch.zeros_like(mask, dtype=embedded.dtype).masked_fill(~mask, lowest)[:, None, None, :]
        return self.encoder(embedded, attention_mask=added).last_hidden_state


def build(config: Config, spec: Spec) -> FusionModel:
    """The model for a data set.

    Raises:
        ConfigError: one modality; a pretrained model that is not of the BERT family.
    """
    at_least_two(spec, owner="mag_bert")
    pretrained = [name for name, modality in spec.modalities.items() if modality.text_model]
    centre = pretrained[0] if pretrained else reference_modality(spec)
    (encoders, projections), reader = with_pretrained(centre, config, spec) if pretrained else with_own(centre, config, spec)
    width, others = projections[centre].out_features, [name for name in encoders if name != centre]
    gate = AdaptationGate(width, dict.fromkeys(others, config.hidden_size), centre=centre, beta=config.beta)
    has_cls = bool(pretrained) and config.pooling == "cls"
    fusion = ShiftedReading(centre, others, gate=gate, language_model=reader, size=width, dropout=config.dropout, has_cls=has_cls)
    return FusionModel(encoders, projections, fusion, post_layers(width, config.post_size, spec.task.outputs, dropout=config.dropout))


def with_own(centre: str, config: Config, spec: Spec) -> tuple[Networks, nn.Module]:
    """The step networks of all modalities, and a small transformer."""
    own = {"is_single": centre in single_steps(spec), "axes": (f"{centre}_time", f"{centre}_time_attended")}
    return step_networks(config, spec), Transformer(
        config.hidden_size, layers=config.layers, heads=config.heads, dropout=config.dropout, relu_dropout=config.dropout, **own
    )


def with_pretrained(centre: str, config: Config, spec: Spec) -> tuple[Networks, nn.Module]:
    """The step networks with the pretrained model's embedding layer in the centre, and the layers that follow it."""
    embeddings, layers, width = split_model(spec.modalities[centre])
    encoders, projections = step_networks(config, replace(spec, modalities={k: v for k, v in spec.modalities.items() if k != centre}))
    encoders[centre], projections[centre] = embeddings, identity(width)
    order = list(spec.modalities)
    return ({name: encoders[name] for name in order}, {name: projections[name] for name in order}), layers


def split_model(modality: ModalitySpec) -> tuple[PretrainedEmbeddings, PretrainedLayers, int]:
    """A pretrained model before and after the place of the gate, and its width.

    Raises:
        ConfigError: the model is not one of `SPLIT_ALIKE`.
    """
    from workbench.text import load_text_model

    model = load_text_model(modality.text_model)
    if model.config.model_type not in SPLIT_ALIKE:
        what = f'mag_bert cannot stand between embeddings and encoder of the text model "{modality.text_model}" ({model.config.model_type})'
        raise ConfigError(what, expected=f"one of the kinds {', '.join(SPLIT_ALIKE)}", do="use text_model=minilm")
    return PretrainedEmbeddings(model.embeddings), PretrainedLayers(model.encoder), int(model.config.hidden_size)


def identity(width: int) -> nn.Linear:
    """A linear layer that gives what it gets, until it is trained."""
    layer = nn.Linear(width, width)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
