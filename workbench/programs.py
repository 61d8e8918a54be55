"""A trained model as a program of `torch.export`: one file that PyTorch runs without the workbench.

    program = torch.export.load("model.pt2").module()
    program({"text": ids, "audio": frames}, {"text": mask, "audio": mask})     # `batch` or `batch class`, scores before the softmax

It takes what a batch holds: padded values and masks (`workbench.data.column.Modality`), not yet standardised: that is the program's first step.
"""

import logging
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jaxtyping
import torch
from torch import Tensor, nn

from workbench.data.batch import Batch, Modality, Spec
from workbench.data.scaling import Scale
from workbench.model import FusionModel

Named = dict[str, Tensor]

FREEDOMS = {
    "batch and time": "any number of samples, of any number of steps (2 or more)",
    "batch": "any number of samples, all padded to the length in config.json",
    "none": "one sample at a time, padded to the length in config.json",
}
"""What a program leaves open, from the most to the least; the first that `torch.export` can do is taken."""

CHECKED = (1, 2, 5)
"""Samples in the batches that a program is checked on."""

TOLERANCE = 1e-5
"""Largest difference from the model, as a share of the largest number that it says (or of 1)."""


@dataclass(frozen=True)
class Program:
    """What became of it.

    Args:
        path: the file; None where the model cannot be exported.
        freedom: a key of FREEDOMS.
        difference: largest difference from the model over the batches that it was checked on.
        sentence: all of this in words, or the step that fails.
    """

    path: Path | None
    freedom: str
    difference: float
    sentence: str


class Padded(nn.Module):
    """The model behind plain tensors: standardises, forgets what stands behind the masks, and gives the prediction only.

    Args:
        model: a trained model.
        scales: mean and spread of each standardised modality.
    """

    def __init__(self, model: FusionModel, scales: Mapping[str, Scale]) -> None:
        super().__init__()
        self.model, self.scaled = model, tuple(scales)
        for name, (mean, spread) in scales.items():
            self.register_buffer(f"factor_{name}", 1 / spread)
            self.register_buffer(f"shift_{name}", -mean / spread)

    def forward(self, values: Named, masks: Named) -> Tensor:
        modalities = {name: Modality(self._seen(name, values[name], masks[name]), masks[name], has_gaps=True) for name in self.model.modalities}
        n = next(iter(masks.values())).shape[0]  # `len` would fix it.
        return self.model(Batch(modalities, torch.zeros(n), torch.arange(n))).prediction

    def _seen(self, name: str, values: Tensor, mask: Tensor) -> Tensor:
        if name in self.scaled:
            values = torch.addcmul(getattr(self, f"shift_{name}"), values.double(), getattr(self, f"factor_{name}")).float()
        shown = mask.reshape(mask.shape[0], *([1] * (values.dim() - 1))) if values.dim() == 4 else mask if values.dim() == 2 else mask[:, :, None]
        return torch.where(shown, values, 0)


def write_program(model: FusionModel, spec: Spec, path: Path, *, scales: Mapping[str, Scale] | None = None) -> Program:
    """Writes the program that leaves most open, read again and checked against the model; or says why there is none."""
    padded, said = Padded(model.eval(), scales or {}).eval(), ""
    for freedom in FREEDOMS:
        try:
            with _quiet(), torch.no_grad():
                torch.export.save(_exported(padded, spec, freedom), path)
                difference = largest_difference(torch.export.load(path).module(), padded, spec, freedom)
        except Exception as error:  # torch.export raises what it likes; the model was right before, and stays so.
            said = said or _reason(error)
            continue
        if difference <= TOLERANCE:
            words = f"model.pt2 takes {FREEDOMS[freedom]}; its numbers differ from the model's by at most {difference:.1e}"
            return Program(path, freedom, difference, words)
        said = said or f"the program's numbers differ from the model's by {difference:.1e}"
    path.unlink(missing_ok=True)
    return Program(None, "", float("nan"), f"no model.pt2: {said}")


def example(spec: Spec, n: int, *, steps: Mapping[str, int], seed: int, lacks: bool = True) -> tuple[Named, Named]:
    """Random padded values and masks of `n` samples; each sample but the first lacks one modality, where there are two or more of both."""
    generator = torch.Generator().manual_seed(seed)
    values, masks = {}, {}
    for place, (name, modality) in enumerate(spec.modalities.items()):
        time = steps[name]
        lengths = torch.randint(1, time + 1, (n,), generator=generator)
        lengths[0] = time
        mask = torch.arange(time) < lengths[:, None]
        if lacks and len(spec.modalities) > 1:
            mask &= ((torch.arange(n) % len(spec.modalities) != place) | (torch.arange(n) == 0))[:, None]
        masks[name] = mask
        if modality.kind == "tokens":
            values[name] = torch.randint(0, modality.size, (n, time), generator=generator)
        else:
            shape = modality.shape if modality.kind == "image" else (time, modality.size)
            values[name] = torch.randn(n, *shape, generator=generator)
    return values, masks


def largest_difference(program: nn.Module, padded: Padded, spec: Spec, freedom: str) -> float:
    """Between the program and the model as batches ask it, as a share of the largest number (or of 1), over some random batches."""
    found = 0.0
    for n in CHECKED if freedom != "none" else (1,):
        for seed in (0, 1):
            values, masks = example(spec, n, steps=_steps(spec, freedom, more=seed), seed=seed, lacks=bool(seed))
            seen = {name: padded._seen(name, values[name], masks[name]) for name in values}
            batch = {name: Modality(seen[name], masks[name], has_gaps=not bool(masks[name].any(1).all())) for name in values}
            expected = padded.model(Batch(batch, torch.zeros(n), torch.arange(n))).prediction
            said = program(values, masks)
            if said.shape != expected.shape or not bool(torch.isfinite(said).all()):
                return float("inf")
            found = max(found, float((said - expected).abs().max() / expected.abs().max().clamp_min(1)))
    return found


def _exported(padded: Padded, spec: Spec, freedom: str) -> torch.export.ExportedProgram:
    n = 1 if freedom == "none" else 3
    inputs = example(spec, n, steps=_steps(spec, freedom), seed=2)
    if freedom == "none":
        return torch.export.export(padded, inputs, strict=False)
    batch = torch.export.Dim("batch", min=1, max=2**20)
    free = {
        name: {0: batch, 1: torch.export.Dim.DYNAMIC} if freedom == "batch and time" and _has_time(spec, name) else {0: batch}
        for name in spec.modalities
    }
    return torch.export.export(padded, inputs, dynamic_shapes={"values": free, "masks": free}, strict=False)


def _has_time(spec: Spec, name: str) -> bool:
    modality = spec.modalities[name]
    return modality.kind in ("sequence", "tokens") and modality.length > 1


def _steps(spec: Spec, freedom: str, *, more: int = 0) -> dict[str, int]:
    """Steps of each modality in an example: where time is open some few, not alike, so that nothing takes two lengths for one."""
    few = {name: max(2, min(modality.length, 5 + place + more)) for place, (name, modality) in enumerate(spec.modalities.items())}
    return {name: (few[name] if freedom == "batch and time" else spec.modalities[name].length) if _has_time(spec, name) else 1 for name in few}


def _reason(error: Exception) -> str:
    """The step of ours that `torch.export` stops at, and what it says."""
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    package = str(Path(__file__).parent)
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(package) and frame.filename != __file__]
    if not ours:
        return f"torch.export says: {said}"
    step = ours[-1]
    return f"torch.export stops at `{step.line}` ({Path(step.filename).relative_to(package)}:{step.lineno}, {step.name}): {said}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of `torch.export`, checks of shapes, and the fast path of recurrent layers: these two fix the size of the batch."""
    before, checks = logging.root.manager.disable, jaxtyping.config.jaxtyping_disable
    logging.disable(logging.CRITICAL)
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with torch.backends.mkldnn.flags(enabled=False):
                yield
    finally:
        logging.disable(before)
        jaxtyping.config.update("jaxtyping_disable", checks)
