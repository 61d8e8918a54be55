"""Every setting of the two families keeps the contract, and what is additive cannot tell an exclusive-or."""

import pytest
import torch

from workbench import balance, methods
from workbench.data.batch import Batch, Column, Dataset, Modality, ModalitySpec, Spec, Split, TaskSpec
from workbench.data.views import View, apply
from workbench.plan import Plan
from workbench.tasks import make_task
from workbench.training import TrainingState, predict, training

SMALL = {"hidden_size": 8, "post_size": 5}
SETTINGS = [
    *(("encoder_decoder.raw", {"merge": merge, "decoder_weight": 0.5}) for merge in ("add", "multiply", "cross")),
    ("encoder_decoder.raw", {"joint": "mean_mlp", "layers": 2}),
    ("encoder_decoder.raw", {"encoder": "lstm"}),
    *(("encoder_decoder.hierarchical", {"merge": merge, "levels": 3}) for merge in ("add", "multiply", "cross")),
    ("encoder_decoder.hierarchical", {"encoder": "lstm", "decoder_weight": 0.5}),
    ("encoder_decoder.decision", {"combine": "learned"}),
    ("encoder_decoder.decision", {"combine": "vote", "encoder": "lstm"}),
    ("constraint.tensor", {"tensor_size": 3, "encoder": "lstm"}),
]
NAMES = [f"{name}-{'-'.join(str(value) for value in settings.values())}" for name, settings in SETTINGS]
KINDS = {"image": "image", "text": "tokens", "sound": "sequence", "vitals": "vector"}
settings = pytest.mark.parametrize(("name", "config"), SETTINGS, ids=NAMES)


@pytest.mark.parametrize("task", ["regression", "multiclass", "multilabel"])
@settings
def test_every_parameter_has_a_gradient(mixed_maker, name, config, task):
    data = mixed_maker(KINDS, task=task)
    model = methods.build(name, {**SMALL, "hidden_size": 16, "post_size": 16, **config}, data.spec)
    batch = data["train"].batch(torch.arange(40))
    output = model(batch)
    (make_task(data.spec.task).loss(output.prediction, batch.target) + sum(output.losses.values())).backward()
    still = {"encoders.image.recurrent.forwards.0.weight_hh_l0", "encoders.vitals.recurrent.forwards.0.weight_hh_l0"}
    still |= {f"encoders.{name}.lstm.weight_hh_l0" for name in ("image", "vitals")}  # an LSTM over one step
    assert {key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0} <= still


@settings
def test_padding_and_batch_mates_do_not_matter_where_modalities_are_missing(mixed_maker, name, config):
    data = mixed_maker(KINDS)
    model = methods.build(name, {**SMALL, **config}, data.spec, seed=2).double().eval()
    split = apply(View(drop={"text": 0.4, "sound": 0.4, "image": 0.4}, drop_frames={"sound": 0.3}), data)["valid"]
    together = model(split.batch(torch.arange(12))).prediction
    alone = torch.cat([model(split.batch(torch.tensor([i]))).prediction for i in range(12)])
    torch.testing.assert_close(together, alone, atol=1e-10, rtol=0)
    assert bool(together.isfinite().all()) and together.std() > 0
    batch = split.batch(torch.arange(12))
    output = model.train()(batch)
    (output.prediction.square().sum() + sum(output.losses.values())).backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    model.eval()

    def padded(modality):
        if modality.values.dim() == 4 or modality.mask.shape[1] == 1:
            return modality
        width = (0, 5) if modality.values.dim() == 2 else (0, 0, 0, 5)
        return Modality(torch.nn.functional.pad(modality.values, width, value=1), torch.nn.functional.pad(modality.mask, (0, 5)), modality.has_gaps)

    longer = Batch({key: padded(value) for key, value in batch.modalities.items()}, batch.target, batch.index)
    torch.testing.assert_close(model(longer).prediction, together, atol=1e-10, rtol=0)


def train(model, data, *, epochs):
    """The loss of the last epoch."""
    plan = Plan(epochs=epochs, patience=1000, learning_rate=1e-2, batch_size=16, probe_every=0, is_traced=False, loss="mse")
    for epoch in training(model, data, plan, state=TrainingState.start(model, plan)):
        last = epoch.loss["train"]
    return last


@pytest.mark.parametrize(("name", "config"), [one for one in SETTINGS if one[1].get("encoder") != "lstm"])
def test_sixteen_examples_overfit(toy_maker, name, config):
    data = toy_maker(train=16)
    assert train(methods.build(name, {**config, "hidden_size": 32, "post_size": 32}, data.spec, seed=0), data, epochs=80) < 0.05


@settings
def test_exact_b_fusion_differentiates_twice(toy_maker, name, config):
    data = toy_maker(train=16)
    model = methods.build(name, {**SMALL, **config}, data.spec, seed=0)
    model.balance = balance.build("b_fusion", model.modalities, {"update": "exact", "rate": 1e-2})
    assert train(model, data, epochs=3) < 100
    weight = model.balance.weight.detach()
    assert bool(weight.isfinite().all()) and bool((weight != 1).any())


def exclusive_or(n=256):
    """Two vectors of noise around +1 or -1; the label is the product of their signs."""

    def split(name, seed):
        generator = torch.Generator().manual_seed(seed)
        signs = torch.randint(0, 2, (n, 2), generator=generator) * 2.0 - 1
        columns = {
            key: Column.from_rows((signs[:, i, None] + 0.3 * torch.randn(n, 4, generator=generator)).numpy())
            for i, key in enumerate(("words", "voice"))
        }
        return Split(name, columns, signs.prod(1), [f"{name} {i}" for i in range(n)])

    spec = Spec({key: ModalitySpec("vector", 4) for key in ("words", "voice")}, TaskSpec("regression", low=-1, high=1))
    return Dataset("exclusive or", spec, {name: split(name, seed) for seed, name in enumerate(("train", "valid", "test"))})


@pytest.mark.parametrize(
    ("name", "config", "is_learned"),
    [
        ("encoder_decoder.decision", {"combine": "average"}, False),
        ("encoder_decoder.decision", {"combine": "learned"}, False),
        ("encoder_decoder.hierarchical", {"merge": "multiply"}, True),
        ("encoder_decoder.raw", {"merge": "cross"}, True),
        ("constraint.tensor", {"tensor_size": 4}, True),
        ("constraint.low_rank", {}, True),
        ("tfn", {}, True),
        ("lmf", {}, True),
    ],
)
def test_what_is_additive_cannot_tell_an_exclusive_or(name, config, is_learned):
    data = exclusive_or()
    model = methods.build(name, {"hidden_size": 16, "post_size": 16, **config}, data.spec, seed=0)
    train(model, data, epochs=20)
    agreement = float((predict(model, data["valid"], Plan()).prediction.sign() == data["valid"].target).float().mean())
    assert agreement > 0.97 if is_learned else agreement < 0.65
