"""Frames of sound and other fast sequences: what neighbouring frames show together, then what comes before and after."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from workbench.data.batch import Modality, ModalitySpec
from workbench.encoders.steps import MaskedLSTM, StepFeatures
from workbench.sequences import Steps


class ConvLSTMSteps(nn.Module):
    """A convolution over neighbouring frames, ReLU, then an LSTM in both directions: `batch time hidden_size`, zeros where a step is not real.

    Source: MLDFA (Yue), Eqs. (7), (8): H = CNN(X), H' = BiLSTM(H).

    Decides: the convolution keeps the length, with zeros beyond both ends and at steps that are not real, so padding never tells; the convolution is
    zero again where a step is not real. The width is shared by the two directions (of an odd width the one that reads forwards has one more), so
    that what comes out is hidden_size wide.

    Args:
        spec: the modality.
        hidden_size: width of the convolution, and of both directions together.
        kernel_size: frames that the convolution sees (of an even number one more lies ahead); a modality of one step has 1.
        embedding_size: width of the embedding of tokens.
        dropout: of the states that come out.
    """

    def __init__(self, spec: ModalitySpec, *, hidden_size: int, kernel_size: int, embedding_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.features = StepFeatures(spec, embedding_size=embedding_size)
        kernel = 1 if spec.length == 1 else kernel_size
        self.ends = ((kernel - 1) // 2, kernel // 2)
        self.convolution = nn.Conv1d(self.features.size, hidden_size, kernel)
        backward = hidden_size // 2
        self.recurrent = MaskedLSTM(hidden_size, hidden_size - backward, is_bidirectional=backward > 0, backward_size=backward)
        self.dropout = nn.Dropout(dropout)
        self.size = self.recurrent.size

    def forward(self, modality: Modality) -> Steps:
        values, mask = self.features(modality)
        seen = torch.relu(self._convolved(values)) * mask[:, :, None]
        return Steps(self.dropout(self.recurrent(seen, mask)) * mask[:, :, None], mask)

    def _convolved(self, values: Float[Tensor, "batch time feature"]) -> Float[Tensor, "batch time size"]:
        return self.convolution(functional.pad(values.transpose(1, 2), self.ends)).transpose(1, 2)
