"""One modality in; one vector a sample out, or one vector a step.

    Features (tokens -> embedding, images -> pixels, the rest as it is): `batch time feature`
      MeanMLP           mean over the real steps, then an MLP            (LF-DNN)
      LSTMEncoder       one-directional LSTM, its last real step         (LF-LSTM, adaptive weight fusion Eqs. 2, 3)
      TextTransformer   a pretrained transformer, fine-tuned              (adaptive weight fusion Eq. 1)
    One vector a step (`Steps`):
      StepFeatures      each step as it is: a fusion that reads sequences begins with its projection
      LSTMSteps         the states of an LSTM, in one or both directions
      TokenTransformer  a pretrained transformer's state of each token, fine-tuned
      StepTransformer   a transformer over the steps, from scratch        (MLDFA Eqs. 1, 2)
      ConvLSTMSteps     a convolution over frames, then a BiLSTM          (MLDFA Eqs. 7, 8)
      DeltaEncoder      a convolution over time, then attention by differences  (hierarchical delta-attention Eqs. 9-12)
      PatchTransformer  an image's patches through a CNN and a transformer, from scratch  (MLDFA Eqs. 4-6)
      PretrainedImage   an image's tokens or cells by a pretrained vision model, frozen or fine-tuned

Pretrained text, frozen: `workbench.text` turns the sentences into cached features once, and any encoder takes them.
"""

from workbench.encoders.delta import DeltaEncoder
from workbench.encoders.features import Features
from workbench.encoders.frames import ConvLSTMSteps
from workbench.encoders.images import PatchTransformer
from workbench.encoders.pretrained_images import PretrainedImage
from workbench.encoders.steps import LSTMSteps, MaskedLSTM, StepFeatures
from workbench.encoders.transformers import StepTransformer, TextTransformer, TokenTransformer, token_states
from workbench.encoders.vectors import LSTMEncoder, MeanMLP

__all__ = [
    "ConvLSTMSteps",
    "DeltaEncoder",
    "Features",
    "LSTMEncoder",
    "LSTMSteps",
    "MaskedLSTM",
    "MeanMLP",
    "PatchTransformer",
    "PretrainedImage",
    "StepFeatures",
    "StepTransformer",
    "TextTransformer",
    "TokenTransformer",
    "token_states",
]
