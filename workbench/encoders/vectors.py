"""One modality in, one vector a sample out: a mean and an MLP, or an LSTM's last real step."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from workbench.data.batch import Modality, ModalitySpec
from workbench.encoders.features import Features
from workbench.sequences import last_real_step, masked_mean


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
