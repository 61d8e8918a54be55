"""One modality in, one vector a step out: the features as they are, or the states of an LSTM."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench.data.batch import Modality, ModalitySpec
from workbench.encoders.features import Features
from workbench.sequences import Steps, lengths, turned_round


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
        backward_size: width of the second LSTM where it is another.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, layers: int = 1, is_bidirectional: bool = False, backward_size: int | None = None
    ) -> None:
        super().__init__()
        backward_size = backward_size or hidden_size
        self.size = hidden_size + backward_size * is_bidirectional
        widths = [input_size, *[self.size] * (layers - 1)]
        self.forwards = nn.ModuleList(nn.LSTM(width, hidden_size, batch_first=True) for width in widths)
        self.backwards = nn.ModuleList(nn.LSTM(width, backward_size, batch_first=True) for width in widths) if is_bidirectional else None

    def forward(self, values: Float[Tensor, "batch time feature"], mask: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch time size"]:
        inside = (torch.arange(mask.shape[1], device=mask.device) < lengths(mask)[:, None])[:, :, None]
        for layer, onward in enumerate(self.forwards):
            states = onward(values)[0]
            if self.backwards is not None:
                backward = self.backwards[layer](turned_round(values, mask))[0]
                states = torch.cat([states, turned_round(backward, mask)], dim=-1)
            values = states * inside
        return values
