"""A fusion model whose every answer can be written down: b + sum over the modalities of w_m . mean over the real steps of x_m."""

import torch
from torch import nn

from workbench.data.batch import Dataset
from workbench.encoders.features import Features
from workbench.fusion.encoder_decoder import Concatenate
from workbench.model import FusionModel
from workbench.sequences import masked_mean


class MeanStep(nn.Module):
    """The mean over the real steps; words as looked-up vectors."""

    def __init__(self, spec) -> None:
        super().__init__()
        self.features = Features(spec, embedding_size=3)
        self.size = self.features.size

    def forward(self, modality):
        return masked_mean(self.features(modality), modality.mask)


def linear_fusion(data: Dataset, *, outputs: int = 1, seed: int = 0) -> FusionModel:
    """The model, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoders = {name: MeanStep(spec) for name, spec in data.spec.modalities.items()}
        sizes = {name: encoder.size for name, encoder in encoders.items()}
        projections = {name: nn.Linear(size, size, bias=False) for name, size in sizes.items()}
        for projection in projections.values():
            nn.init.eye_(projection.weight)
        return FusionModel(encoders, projections, Concatenate(), nn.Linear(sum(sizes.values()), outputs)).eval()


def weights_of(model: FusionModel, name: str) -> torch.Tensor:
    """w_m: `output feature`."""
    start = 0
    for other, encoder in model.encoders.items():
        if other == name:
            return model.head.weight.detach()[:, start : start + encoder.size]
        start += encoder.size
    raise KeyError(name)


def contribution(model: FusionModel, data: Dataset, split: str, name: str) -> torch.Tensor:
    """w_m . mean of x_m, `sample` (of the first output)."""
    found, rows = data[split], []
    for i in range(len(found)):
        steps = found.columns[name][i]
        table = model.encoders[name].features.embedding
        x = table(steps).detach() if table is not None else steps.flatten(1) if steps.dim() == 4 else steps
        rows.append(x.mean(0) @ weights_of(model, name)[0])
    return torch.stack(rows).detach()
