"""What holds for every encoder that MLDFA names: nothing but a sample's own real values reaches its steps."""

import pytest
import torch

from workbench.data.batch import Modality

SEQUENCES = [("steps", "sequence"), ("steps", "tokens"), ("frames", "sequence"), ("frames", "tokens")]
SINGLES = [
    ("steps", "vector"),
    ("steps", "image"),
    ("frames", "vector"),
    ("frames", "image"),
    ("patches", "image"),
    ("vit", "image"),
    ("resnet", "image"),
]
ALL = SEQUENCES + SINGLES
LENGTHS = (4, 1, 7, 0, 3)
HOLE = 1
"""The third sample misses this step."""


def batch(kind, *, more=0, fill=0.0):
    """Five samples, one with a hole and one that does not have the modality at all; `fill` stands wherever nothing is real."""
    generator = torch.Generator().manual_seed(3)
    time = 7 if kind in ("sequence", "tokens") else 1
    shape = {"sequence": (7, 5), "tokens": (7,), "vector": (1, 5), "image": (3, 6, 5)}[kind]
    values = torch.rand(5, *shape, generator=generator, dtype=torch.float64) * 2
    values = (values * 9).long() + 1 if kind == "tokens" else values
    mask = torch.arange(time) < torch.tensor(LENGTHS)[:, None]
    if time > 1:
        mask[2, HOLE] = False
        values = torch.cat([values, values[:, :1].expand(-1, more, *shape[1:])], dim=1)
        mask = torch.cat([mask, torch.zeros(5, more, dtype=torch.bool)], dim=1)
    dead = ~mask[:, :, None, None] if kind == "image" else ~mask.view(*mask.shape, *[1] * (values.dim() - 2))
    return Modality(values.masked_fill(dead, int(fill) if kind == "tokens" else fill), mask, True)


def one(modality, row):
    return Modality(modality.values[row : row + 1], modality.mask[row : row + 1], True)


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_steps_of_the_promised_size_and_zeros_where_nothing_is_real(make, name, kind):
    encoder = make(name, kind)
    found = encoder(batch(kind))
    assert found.values.shape == (*found.mask.shape, encoder.size)
    assert found.values.dtype == torch.float64
    assert bool(found.values.isfinite().all())
    assert found.values[~found.mask].abs().sum() == 0
    assert bool((found.values[found.mask].abs().sum(-1) > 0).all())
    if kind != "image":
        assert torch.equal(found.mask, batch(kind).mask)
    else:
        assert found.mask.sum(1).tolist() == [found.mask.shape[1]] * 3 + [0, found.mask.shape[1]]


@pytest.mark.parametrize(("name", "kind"), SEQUENCES)
def test_padding_does_not_matter(make, name, kind):
    encoder = make(name, kind)
    found, padded = encoder(batch(kind)), encoder(batch(kind, more=4, fill=9))
    torch.testing.assert_close(padded.values[:, :7], found.values, atol=1e-10, rtol=0)
    assert padded.values[:, 7:].abs().sum() == 0


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_what_stands_behind_the_mask_does_not_matter(make, name, kind):
    encoder = make(name, kind)
    fill = 7 if kind == "tokens" else float("nan")
    torch.testing.assert_close(encoder(batch(kind, fill=fill)).values, encoder(batch(kind)).values, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_batch_mates_do_not_matter(make, name, kind):
    encoder, together = make(name, kind), batch(kind)
    found = encoder(together)
    for row in range(5):
        torch.testing.assert_close(encoder(one(together, row)).values[0], found.values[row], atol=1e-10, rtol=0)


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_every_parameter_learns_also_from_a_batch_of_one(make, name, kind):
    encoder = make(name, kind).train()
    for rows in (batch(kind), one(batch(kind), 2)):
        encoder.zero_grad()
        encoder(rows).values.pow(3).sum().backward()
        learning = {key: p.grad for key, p in encoder.named_parameters() if p.requires_grad}
        assert learning
        if kind in ("vector", "image") and name == "frames":  # an LSTM's first step has no state before it
            learning = {key: grad for key, grad in learning.items() if "weight_hh" not in key}
        assert [key for key, grad in learning.items() if grad is None or not grad.isfinite().all() or not grad.abs().sum() > 0] == []


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_a_batch_in_which_nobody_has_the_modality(make, name, kind):
    encoder, whole = make(name, kind), batch(kind)
    found = encoder(Modality(whole.values, torch.zeros_like(whole.mask), True))
    assert found.values.abs().sum() == 0
    encoder(Modality(whole.values, torch.zeros_like(whole.mask), True)).values.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in encoder.parameters() if p.grad is not None)


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_saved_and_read_again(make, name, kind):
    encoder, other = make(name, kind), make(name, kind)
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(0.1)
    assert not torch.equal(encoder(batch(kind)).values, other(batch(kind)).values)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(encoder(batch(kind)).values, other(batch(kind)).values)


@pytest.mark.parametrize(("name", "kind"), [*SEQUENCES, ("patches", "image")])
def test_dropout_acts_in_training_only(make, name, kind):
    encoder = make(name, kind, dropout=0.5)
    assert torch.equal(encoder(batch(kind)).values, make(name, kind)(batch(kind)).values)
    encoder.train()
    assert not torch.equal(encoder(batch(kind)).values, encoder(batch(kind)).values)


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_single_precision(make, name, kind):
    encoder = make(name, kind)
    exact = encoder(batch(kind)).values
    rough = encoder.float()(batch(kind)).values
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact.float(), atol=1e-4, rtol=1e-4)
