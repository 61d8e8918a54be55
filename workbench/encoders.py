"""One modality in; one vector a sample out, or one vector a step.

    Features (tokens -> embedding, images -> pixels, the rest as it is): `batch time feature`
      MeanMLP           mean over the real steps, then an MLP            (LF-DNN)
      LSTMEncoder       one-directional LSTM, its last real step         (LF-LSTM, adaptive weight fusion Eqs. 2, 3)
      TextTransformer   a pretrained transformer, fine-tuned              (adaptive weight fusion Eq. 1)
    One vector a step (`Steps`):
      StepFeatures      each step as it is: a fusion that reads sequences begins with its projection
      LSTMSteps         the states of an LSTM, in one or both directions
      TokenTransformer  a pretrained transformer's state of each token, fine-tuned

Pretrained text, frozen: `workbench.text` turns the sentences into cached features once, and any encoder takes them.
"""

from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.data.batch import Modality, ModalitySpec
from workbench.sequences import Steps, last_real_step, lengths, masked_mean, turned_round


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
        states = token_states(self.model, modality)
        return states[:, 0] if self.pooling == "cls" else masked_mean(states, modality.mask)


class TokenTransformer(nn.Module):
    """A pretrained BERT-family encoder that is trained on: token ids in, one vector a token out, zeros where a token is not real.

    Args:
        spec: tokens whose `text_model` names the model (see `workbench.text.prepare_text`).
    """

    def __init__(self, spec: ModalitySpec) -> None:
        super().__init__()
        from workbench.text import load_text_model

        self.model = load_text_model(spec.text_model)
        self.size = int(self.model.config.hidden_size)

    def forward(self, modality: Modality) -> Steps:
        return Steps(token_states(self.model, modality) * modality.mask[:, :, None], modality.mask)


def token_states(model: nn.Module, modality: Modality) -> Float[Tensor, "batch time feature"]:
    """The last layer's states of a pretrained encoder."""
    return model(input_ids=modality.values, attention_mask=modality.mask.long()).last_hidden_state


class StepFeatures(nn.Module):
    """Each step's features as they are, zeros where a step is not real; tokens embedded, an image or a vector as one step."""

    def __init__(self, spec: ModalitySpec, *, embedding_size: int) -> None:
        super().__init__()
        self.features = Features(spec, embedding_size=embedding_size)
        self.size = self.features.size
        self.register_buffer("of_dtype", torch.zeros(()), persistent=False)

    def forward(self, modality: Modality) -> Steps:
        values = self.features(modality).to(self.of_dtype.dtype)
        return Steps(torch.where(modality.mask[:, :, None], values, 0), modality.mask)


class LSTMSteps(nn.Module):
    """The states of an LSTM at every step, zeros where a step is not real: `batch time hidden_size` (of both directions together: twice that).

    Args:
        spec: the modality.
        hidden_size: width of each direction.
        layers: stacked layers.
        dropout: of the states that come out.
        is_bidirectional: a second LSTM reads each sample from its last real step backwards (never from the padding).
    """

    def __init__(
        self, spec: ModalitySpec, *, hidden_size: int, embedding_size: int, layers: int = 1, dropout: float = 0.0, is_bidirectional: bool = False
    ) -> None:
        super().__init__()
        self.features = StepFeatures(spec, embedding_size=embedding_size)
        self.recurrent = MaskedLSTM(self.features.size, hidden_size, layers=layers, is_bidirectional=is_bidirectional)
        self.dropout = nn.Dropout(dropout)
        self.size = self.recurrent.size

    def forward(self, modality: Modality) -> Steps:
        values, mask = self.features(modality)
        return Steps(self.dropout(self.recurrent(values, mask)) * mask[:, :, None], mask)


class MaskedLSTM(nn.Module):
    """A stack of LSTM layers over padded sequences; padding never enters a state of a real step.

    Args:
        input_size: features of a step.
        hidden_size: width of each direction.
        layers: stacked layers.
        is_bidirectional: a second LSTM a layer reads each sample from its last real step backwards.
    """

    def __init__(self, input_size: int, hidden_size: int, *, layers: int = 1, is_bidirectional: bool = False) -> None:
        super().__init__()
        self.size = hidden_size * (1 + is_bidirectional)
        widths = [input_size, *[self.size] * (layers - 1)]
        self.forwards = nn.ModuleList(nn.LSTM(width, hidden_size, batch_first=True) for width in widths)
        self.backwards = nn.ModuleList(nn.LSTM(width, hidden_size, batch_first=True) for width in widths) if is_bidirectional else None

    def forward(self, values: Float[Tensor, "batch time feature"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch time size"]:
        inside = (torch.arange(mask.shape[1], device=mask.device) < lengths(mask)[:, None])[:, :, None]
        for layer, onward in enumerate(self.forwards):
            states = onward(values)[0]
            if self.backwards is not None:
                backward = self.backwards[layer](turned_round(values, mask))[0]
                states = torch.cat([states, turned_round(backward, mask)], dim=-1)
            values = states * inside
        return values
