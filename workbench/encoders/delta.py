"""Steps of one modality that attend to each other by their differences."""

from collections.abc import Sequence

from torch import nn

from workbench.data.batch import Modality, ModalitySpec
from workbench.encoders.steps import StepFeatures
from workbench.encoders.transformers import TokenTransformer
from workbench.fusion.delta_attention import DeltaAttention, Direction, Padding, Positions, RepeatingConvolution
from workbench.sequences import Steps, masked_mean


class DeltaEncoder(nn.Module):
    """A convolution over time, then delta self-attention of several heads side by side: `batch time heads x size`, zeros where a step is not real.

    Source: Panchal: Hierarchical delta-attention (2020), Eqs. (9)-(11), and the concatenation of Eq. (12):
        X^ = Conv1D(X),  [Z_0, ..., Z_H] = DeltaSelfAttend(X^).
    W_O of Eq. (12) is the modality's projection. Tokens are embedded; those of a pretrained model go through it first.

    Args:
        spec: the modality; a vector or an image is a sequence of one step.
        size: width d_ch of X^ and of each head.
        kernel_size: steps that the convolution sees; a modality of one step has 1.
        embedding_size: width of the embedding of tokens.
        padding: of the convolution.
        is_centred: take each sample's mean over its real steps out of X^, so that a constant offset leaves no trace in queries, keys and values
            either (not the paper's); a modality of one step stays as it is.
        dropout: of the states that come out.
        heads, window, direction, positions, has_content, axes: of the attention.
    """

    def __init__(
        self,
        spec: ModalitySpec,
        *,
        size: int,
        heads: int,
        kernel_size: int,
        embedding_size: int,
        window: int | None = None,
        direction: Direction = "both",
        positions: Positions = "shared",
        has_content: bool = True,
        padding: Padding = "repeat",
        is_centred: bool = False,
        dropout: float = 0.0,
        axes: Sequence[str] = ("time", "time_attended"),
    ) -> None:
        super().__init__()
        self.features = TokenTransformer(spec) if spec.text_model else StepFeatures(spec, embedding_size=embedding_size)
        is_single = spec.length == 1
        self.is_centred = is_centred and not is_single
        kernel = 1 if is_single else kernel_size
        # The mean takes a bias out again.
        self.convolution = RepeatingConvolution(self.features.size, size, kernel=kernel, padding=padding, has_bias=not self.is_centred)
        chosen = {"window": window, "direction": direction, "positions": positions, "has_content": has_content, "axes": axes}
        self.attention = DeltaAttention(size, heads=heads, length=spec.length, **chosen)
        self.dropout = nn.Dropout(dropout)
        self.size = heads * size

    def forward(self, modality: Modality) -> Steps:
        values, mask = self.features(modality)
        values = self.convolution(values, mask)
        if self.is_centred:
            values = values - masked_mean(values, mask)[:, None]
        return Steps(self.dropout(self.attention(values, mask)) * mask[:, :, None], mask)
