"""What in one sample raised the prediction, and what lowered it? Integrated gradients, word by word, frame by frame, number by number.

found = attribute(model, data, row=17)
found.steps("text")            # one number a word
found.delta                    # what the parts do not add up to: nearly nothing, or the picture is not to be trusted

Source: Sundararajan, Taly, Yan: Axiomatic attribution for deep networks (ICML 2017), Eq. (1): (x - b) times the mean gradient on the straight
way from the baseline b to x; the parts add up to f(x) - f(b) (completeness). Computed by captum.
Decides: words are attributed where they enter, at the vectors that they are looked up as. b is zero everywhere (words: the vector of zeros), or with
`baseline="mean"` the training mean of each feature (words: the mean word vector). f is the score, or one class's (label's) number before the softmax
(sigmoid). As many points on the way are taken as completeness needs, 512 at most.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workbench.data.batch import Batch, Dataset
from workbench.data.column import Modality
from workbench.errors import ConfigError, unknown
from workbench.model import FusionModel
from workbench.probes.subsets import replaced_words, stand_in, word_vectors

BASELINES = ("zero", "mean")

POINTS = (32, 128, 512)
"""Points on the way: more are taken until the parts add up to within `CLOSE` of the whole."""

CLOSE = 0.02


@dataclass(frozen=True)
class Attribution:
    """What one sample's parts bring to the prediction, in its own unit.

    Args:
        parts: modality -> attributions as the modality is: `time feature` (words: `time width`), `feature`, or `channel height width`.
        start: what the model says of the baseline; `end`: of the sample.
        baseline: `zero` or `mean`.
        points: points on the way.
        seconds: how long it took.
    """

    parts: dict[str, np.ndarray]
    start: float
    end: float
    baseline: str
    points: int
    seconds: float

    @property
    def totals(self) -> dict[str, float]:
        """What each modality brings."""
        return {name: float(part.sum()) for name, part in self.parts.items()}

    @property
    def delta(self) -> float:
        """The parts' sum less f(x) - f(b); 0 in exact arithmetic with infinitely many points."""
        return sum(self.totals.values()) - (self.end - self.start)

    @property
    def is_complete(self) -> bool:
        """True where the parts add up to within 2 % of the parts' whole size."""
        size = sum(float(np.abs(part.sum(-1) if part.ndim == 2 else part).sum()) for part in self.parts.values())
        return abs(self.delta) <= CLOSE * max(size, 1e-6)

    def steps(self, name: str) -> np.ndarray:
        """One number a word, a frame or a feature of a vector; of an image `height width`."""
        part = self.parts[name]
        return part.sum(0) if part.ndim == 3 else part.sum(1) if part.ndim == 2 else part


def attribute(
    model: FusionModel, data: Dataset, row: int, *, split: str = "valid", output: int = 0, baseline: str = "zero", points: int | None = None
) -> Attribution:
    """Integrated gradients of the prediction of one sample.

    Args:
        model: a trained model; its weights and mode stay as they are.
        data: the data as the model's builder saw it.
        row: which sample of the split.
        split: which split.
        output: which class or label (a score has one output).
        baseline: see above.
        points: points on the way; None: as many as it takes.

    Raises:
        ConfigError: nobody knows the baseline; or there is no such row; captum is not installed.
    """
    if baseline not in BASELINES:
        raise unknown("baseline", baseline, BASELINES)
    found = data[split]
    if not 0 <= row < len(found):
        raise ConfigError(f"there is no row {row} in {split}: it has {len(found)} samples", expected=f"0 to {len(found) - 1}")
    method = _captum()
    begun, was_training = time.perf_counter(), model.training
    batch = found.batch(torch.tensor([row]))
    inputs, baselines = _ends(model.eval(), batch, stand_in(model, data, baseline))
    asked = _Asked(model, batch, list(inputs), output)
    try:
        for count in (points,) if points else POINTS:
            parts = method(asked).attribute(
                tuple(inputs.values()), tuple(baselines.values()), n_steps=count, method="gausslegendre", internal_batch_size=64
            )
            with torch.no_grad():
                ends = [float(asked(*there.values())[0]) for there in (baselines, inputs)]
            shaped = {name: _shaped(part, data.spec.modalities[name].kind) for name, part in zip(inputs, parts, strict=True)}
            result = Attribution(shaped, *ends, baseline, count, time.perf_counter() - begun)
            if result.is_complete:
                break
    finally:
        model.train(was_training)
    return result


def _captum() -> type:
    """Integrated gradients; loaded late, as it takes seconds."""
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise ConfigError("attribution needs captum, which is not installed", do='pip install -e ".[lab]"') from error
    return IntegratedGradients


@dataclass(frozen=True)
class _Asked:
    """The model as a function of its modalities' numbers, some points at a time."""

    model: FusionModel
    batch: Batch
    names: list[str]
    output: int

    def __call__(self, *inputs: Tensor) -> Tensor:
        """One number a point."""
        count = len(inputs[0])
        given = dict(zip(self.names, inputs, strict=True))
        modalities, words = {}, {}
        for name, known in self.batch.modalities.items():
            values, mask = (each.expand(count, *each.shape[1:]) for each in (known.values, known.mask))
            is_word = name in given and not known.values.is_floating_point()
            modalities[name] = Modality(values if is_word or name not in given else given[name], mask, known.has_gaps)
            words |= {name: given[name]} if is_word else {}
        batch = Batch(modalities, self.batch.target[:1].expand(count, *self.batch.target.shape[1:]), self.batch.index.expand(count))
        with replaced_words(self.model, batch, words):
            said = self.model(batch).prediction
        # A modality that the model does not look at has a gradient too: zero.
        return (said if said.dim() == 1 else said[:, self.output]) + 0.0 * sum(part.flatten(1).sum(1) for part in inputs)


def _ends(model: FusionModel, batch: Batch, stand_ins: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The sample, and the baseline, as the numbers that are attributed; words without a table of vectors are left out."""
    inputs, baselines = {}, {}
    for name in model.modalities:
        known = batch[name]
        if not known.values.is_floating_point():
            table = word_vectors(model, name)
            if table is None:
                continue
            with torch.no_grad():
                values = table(known.values).detach()
        else:
            values = known.values.detach()
        stood = stand_ins[name].to(values).expand_as(values)
        real = known.mask.view(*known.mask.shape, *[1] * (values.dim() - 2)) if values.dim() != 4 else known.mask.view(-1, 1, 1, 1)
        inputs[name], baselines[name] = values.float(), torch.where(real, stood, values).float()
    return inputs, baselines


def _shaped(part: Tensor, kind: str) -> np.ndarray:
    """One sample's attributions as its modality is."""
    array = part[0].detach().double().cpu().numpy()
    return array[0] if kind == "vector" else array
