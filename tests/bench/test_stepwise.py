"""The faster paths against their straightforward twins, in double precision."""

import pytest
import torch

from workbench import methods
from workbench.bench.stepwise import BareMFN, StepByStepMFN
from workbench.data.batch import Batch, Modality, ModalitySpec, Spec, TaskSpec
from workbench.fusion.context import Context

LENGTHS = (7, 1, 4)
SIZES = {"text": 300, "audio": 74, "vision": 35}


@pytest.mark.parametrize("name", ["mfn", "graph_mfn"])
def test_all_steps_at_once_give_what_step_by_step_gives(name):
    spec = Spec({key: ModalitySpec("sequence", size, 7) for key, size in SIZES.items()}, TaskSpec("regression"))
    fusion = methods.build(name, {"hidden_size": 6}, spec).fusion.double()
    twin = StepByStepMFN(fusion).double()
    mask = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    z = {key: (torch.randn(3, 7, 6, dtype=torch.float64) * mask[:, :, None]).requires_grad_() for key in SIZES}
    context = Context(dict.fromkeys(z, mask), {key: Modality(value, mask) for key, value in z.items()}, torch.arange(3))
    found, expected = fusion(z, z, context)[0], twin(z, mask)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)
    asked = torch.randn_like(found)
    parts = zip(torch.autograd.grad(found, list(z.values()), asked), torch.autograd.grad(expected, list(z.values()), asked), strict=True)
    for ours, theirs in parts:
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)


def test_the_whole_model_step_by_step_is_ours(toy):
    """On unaligned data, with the same first weights."""
    theirs = BareMFN({name: spec.size for name, spec in toy.spec.modalities.items()}).double()
    ours = methods.build("mfn", {}, toy.spec, seed=0).double()
    batch = toy["valid"].batch(torch.arange(12))
    torch.testing.assert_close(theirs(doubled(batch)), ours(batch).prediction, atol=1e-10, rtol=0)
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())


def doubled(batch):
    parts = {name: Modality(seen.values.double(), seen.mask) for name, seen in batch.modalities.items()}
    return Batch(parts, batch.target, batch.index)
