"""The memory fusion of MFN and Graph-MFN step by step, as one would write it by hand: what our faster path is compared with, numbers and time."""

from collections.abc import Mapping
from copy import deepcopy

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from workbench import methods
from workbench.data.batch import Batch, ModalitySpec, Spec, TaskSpec
from workbench.fusion.memory_fusion import MemoryFusion
from workbench.sequences import resampled


class StepByStepMFN(nn.Module):
    """The memory fusion network as its paper tells it: all of a step, then the next step.

    Args:
        fusion: whose first weights are copied; its attention is MFN's or Graph-MFN's.
    """

    def __init__(self, fusion: MemoryFusion) -> None:
        super().__init__()
        self.cells = nn.ModuleDict({name: _cell(lstm.lstm) for name, lstm in fusion.system.lstms.items()})
        self.attention = deepcopy(fusion.attention)
        self.candidate, self.retain, self.update = (deepcopy(getattr(fusion.memory, part)) for part in ("candidate", "retain", "update"))

    def forward(
        self, sequences: Mapping[str, Float[Tensor, "batch time feature"]], mask: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch feature"]:
        """[h_1, ..., h_M, u] at each sample's last real step, of aligned sequences."""
        batch, steps = mask.shape
        first = next(iter(sequences.values()))
        h, c = ({name: first.new_zeros(batch, cell.hidden_size) for name, cell in self.cells.items()} for _ in range(2))
        u, outputs = first.new_zeros(batch, self.candidate[-1].out_features), []
        for t in range(steps):
            before = c
            states = {name: cell(sequences[name][:, t], (h[name], c[name])) for name, cell in self.cells.items()}
            h, c = {name: state[0] for name, state in states.items()}, {name: state[1] for name, state in states.items()}
            window = torch.stack([torch.stack(list(memories.values()), 1) for memories in (before, c)], 1)
            attended = self.attention(window[None], mask[:, t : t + 1])[0]
            u = self.retain(attended).sigmoid() * u + self.update(attended).sigmoid() * self.candidate(attended).tanh()
            outputs.append(torch.cat([*h.values(), u], 1))
        return torch.stack(outputs)[mask.sum(1) - 1, torch.arange(batch, device=mask.device)]


class BareMFN(nn.Module):
    """MFN with its default settings as one would write it by hand for feature sequences, in the form that `workbench bench` takes.

    Args:
        sizes: features a step by modality; with `text` among them.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        spec = Spec({name: ModalitySpec("sequence", size, 2) for name, size in sizes.items()}, TaskSpec("regression"))
        model = methods.build("mfn", {}, spec)
        self.projections = model.projections
        self.fusion = StepByStepMFN(model.fusion)
        self.head = model.head

    def forward(self, batch: Batch) -> Float[Tensor, " batch"]:
        mask = batch["text"].mask
        seen = {name: (projection(batch[name].values), batch[name].mask) for name, projection in self.projections.items()}
        return self.head(self.fusion({name: resampled(z, own, mask) for name, (z, own) in seen.items()}, mask))[:, 0]


def _cell(lstm: nn.LSTM) -> nn.LSTMCell:
    """One step of an LSTM layer, with the same weights."""
    cell = nn.LSTMCell(lstm.input_size, lstm.hidden_size)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in lstm.state_dict().items()})
    return cell
