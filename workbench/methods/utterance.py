"""Utterance vectors for methods that fuse one vector a modality: a stacked LSTM read where it ends, a mean over time, or a fine-tuned transformer.

Shared by MISA, Self-MM and MMIM, which differ in layers and directions only.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from workbench.data.batch import Modality, ModalitySpec, Spec
from workbench.encoders import MaskedLSTM, MeanMLP, StepFeatures, TextTransformer
from workbench.methods.networks import FusionConfig
from workbench.sequences import last_real_step


class UtteranceConfig(FusionConfig):
    """Settings of a method that fuses one utterance vector a modality."""

    encoder: Literal["lstm", "mean_mlp"] = Field(
        "lstm", description="one vector a modality: where an LSTM ends (the paper's), or mean over time and an MLP"
    )


class UtteranceLSTM(nn.Module):
    """A stack of LSTMs; the state in which each direction ends: `batch hidden_size` (of both directions together: twice that).

    The onward direction ends at the last real step, the backward one at the first; padding enters neither. A sample without a real step gives zeros.

    Args:
        spec: the modality.
        hidden_size: width of each direction.
        embedding_size: width of the embedding of tokens.
        layers: stacked layers.
        is_bidirectional: read in both directions.
        dropout: share of the vector dropped in training.
    """

    def __init__(
        self, spec: ModalitySpec, *, hidden_size: int, embedding_size: int, layers: int = 1, is_bidirectional: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.features = StepFeatures(spec, embedding_size=embedding_size)
        self.recurrent = MaskedLSTM(self.features.size, hidden_size, layers=layers, is_bidirectional=is_bidirectional)
        self.dropout = nn.Dropout(dropout)
        self.hidden_size = hidden_size
        self.size = self.recurrent.size

    def forward(self, modality: Modality) -> Float[Tensor, "batch size"]:
        values, mask = self.features(modality)
        states = self.recurrent(values, mask)
        onward, backward = states[..., : self.hidden_size], states[:, 0, self.hidden_size :]
        return self.dropout(torch.cat([last_real_step(onward, mask), backward], dim=-1))


def utterance_encoders(config: UtteranceConfig, spec: Spec, *, layers: int = 1, is_bidirectional: bool = False) -> dict[str, nn.Module]:
    """One utterance encoder a modality; a fine-tuned transformer where the tokens ask for it.

    Args:
        config: `encoder`, widths and dropout.
        spec: the modalities.
        layers, is_bidirectional: of the LSTMs.
    """

    def encoder(modality: ModalitySpec) -> nn.Module:
        settings = {"hidden_size": config.hidden_size, "embedding_size": config.embedding_size, "dropout": config.dropout}
        if modality.text_model:
            return TextTransformer(modality)
        if config.encoder == "mean_mlp":
            return MeanMLP(modality, layers=1, **settings)
        return UtteranceLSTM(modality, layers=layers, is_bidirectional=is_bidirectional, **settings)

    return {name: encoder(modality) for name, modality in spec.modalities.items()}


def own_widths(encoders: Mapping[str, nn.Module], spec: Spec, *, hidden_size: int) -> dict[str, int]:
    """Width of each z_i where a fine-tuned transformer keeps its own and the others have `hidden_size`."""
    return {name: encoders[name].size if modality.text_model else hidden_size for name, modality in spec.modalities.items()}
