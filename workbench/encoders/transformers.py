"""Words and other steps through a transformer: a pretrained one that is trained on, or one from scratch."""

from jaxtyping import Float
from torch import Tensor, nn

from workbench.attention import Transformer
from workbench.data.batch import Modality, ModalitySpec
from workbench.encoders.steps import StepFeatures
from workbench.sequences import Steps, masked_mean


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


class StepTransformer(nn.Module):
    """A transformer over the steps, from scratch: zeros where a step is not real, `batch time hidden_size`.

    Source: MLDFA (Yue), Eqs. (1), (2): H = Transformer([w_1, ..., w_N]). The w are embedded words or the features of a step, brought to the
    transformer's width by a linear layer; sinusoidal positions tell the order.

    Args:
        spec: the modality (tokens, a sequence; a vector or an image is a sequence of one step).
        hidden_size: width of the transformer.
        layers, heads: of the transformer; the heads divide hidden_size.
        embedding_size: width of the embedding of tokens.
        dropout: after the positions are added, and of what each part of a layer adds.
    """

    def __init__(self, spec: ModalitySpec, *, hidden_size: int, layers: int, heads: int, embedding_size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.features = StepFeatures(spec, embedding_size=embedding_size)
        self.inside = nn.Linear(self.features.size, hidden_size)
        self.transformer = Transformer(
            hidden_size,
            layers=layers,
            heads=heads,
            embedding_dropout=dropout,
            dropout=dropout,
            is_single=spec.length == 1,
            axes=("time", "time_attended"),
        )
        self.size = hidden_size

    def forward(self, modality: Modality) -> Steps:
        values, mask = self.features(modality)
        return Steps(self.transformer(self.inside(values), mask) * mask[:, :, None], mask)
