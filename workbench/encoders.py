"""One modality in, one vector a sample out.

    Features (tokens -> embedding, images -> pixels, the rest as it is): `batch time feature`
      MeanMLP           mean over the real steps, then an MLP            (LF-DNN)
      LSTMEncoder       one-directional LSTM, its last real step         (LF-LSTM, adaptive weight fusion Eqs. 2, 3)
      TextTransformer   a pretrained transformer, fine-tuned              (adaptive weight fusion Eq. 1)

Pretrained text, frozen: `workbench.text` turns the sentences into cached features once, and any encoder takes them.
"""

from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.data.batch import Modality, ModalitySpec


def masked_mean(values: Float[Tensor, "batch time feature"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch feature"]:
    """The mean over the real steps of each sample; a sample without a real step gives zeros."""
    weight = mask.to(values.dtype)
    return torch.einsum("btf,bt->bf", values, weight) / weight.sum(1, keepdim=True).clamp_min(1)


def last_real_step(values: Float[Tensor, "batch time feature"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch feature"]:
    """The values at the last real step of each sample (not the last padded one); zeros where no step is real."""
    steps = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    last = (steps * mask).argmax(1)
    picked = values[torch.arange(len(values), device=values.device), last]
    return picked * mask.any(1, keepdim=True)


class Features(nn.Module):
    """A modality as `batch time feature`: tokens embedded, images flattened to one step, the rest as it is.

    Args:
        spec: the modality.
        embedding_size: width of the embedding of tokens.
    """

    def __init__(self, spec: ModalitySpec, *, embedding_size: int) -> None:
        super().__init__()
        self.kind = spec.kind
        self.embedding = nn.Embedding(spec.size, embedding_size, padding_idx=0) if spec.kind == "tokens" else None
        pixels = int(torch.tensor(spec.shape).prod()) if spec.kind == "image" else 0
        self.size = embedding_size if spec.kind == "tokens" else pixels or spec.size

    def forward(self, modality: Modality) -> Float[Tensor, "batch time feature"]:
        if self.embedding is not None:
            return self.embedding(modality.values)
        return modality.values.flatten(1).unsqueeze(1) if self.kind == "image" else modality.values


class MeanMLP(nn.Module):
    """The mean over the real steps, then `layers` times (linear, ReLU, dropout): `batch hidden_size`."""

    def __init__(self, spec: ModalitySpec, *, hidden_size: int, layers: int, dropout: float, embedding_size: int) -> None:
        super().__init__()
        self.features = Features(spec, embedding_size=embedding_size)
        widths = [self.features.size, *[hidden_size] * layers]
        blocks = [nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(dropout)) for a, b in pairwise(widths)]
        self.layers = nn.Sequential(*blocks)
        self.size = widths[-1]

    def forward(self, modality: Modality) -> Float[Tensor, "batch feature"]:
        values = self.features(modality).to(next(self.layers.parameters()).dtype)
        pooled = values[:, 0] if values.shape[1] == 1 else masked_mean(values, modality.mask)
        return self.layers(pooled)


class LSTMEncoder(nn.Module):
    """A one-directional LSTM; its output at the last real step: `batch hidden_size`.

    Source: "sLSTM" of adaptive weight fusion (2024), Eqs. (2), (3).
    """

    def __init__(self, spec: ModalitySpec, *, hidden_size: int, dropout: float, embedding_size: int) -> None:
        super().__init__()
        self.features = Features(spec, embedding_size=embedding_size)
        self.lstm = nn.LSTM(self.features.size, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.size = hidden_size

    def forward(self, modality: Modality) -> Float[Tensor, "batch feature"]:
        values = self.features(modality).to(self.lstm.weight_ih_l0.dtype)
        return self.dropout(last_real_step(self.lstm(values)[0], modality.mask))


class TextTransformer(nn.Module):
    """A pretrained BERT-family encoder that is trained on: token ids in, one vector a sentence out.

    Source: "BERT" of adaptive weight fusion (2024), Eq. (1). Decides: the sentence vector is the mean over the real
    tokens (the packaged MiniLM was pretrained so); `pooling="cls"` takes the first token.

    Args:
        spec: tokens whose `text_model` names the model (see `workbench.text.prepare_text`).
        pooling: `mean` or `cls`.
    """

    def __init__(self, spec: ModalitySpec, *, pooling: str = "mean") -> None:
        super().__init__()
        from workbench.text import load_text_model

        self.model = load_text_model(spec.text_model)
        self.pooling = pooling
        self.size = int(self.model.config.hidden_size)

    def forward(self, modality: Modality) -> Float[Tensor, "batch feature"]:
        states = self.model(input_ids=modality.values, attention_mask=modality.mask.long()).last_hidden_state
        return states[:, 0] if self.pooling == "cls" else masked_mean(states, modality.mask)
