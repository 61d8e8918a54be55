"""Merges, levels, decisions, raw steps and the decoder, against their transcriptions."""

import numpy as np
import pytest
import torch
from reference import ef_lstm as early
from reference import encoder_decoder as reference
from torch import nn

from workbench.data.batch import Modality, ModalitySpec
from workbench.errors import ConfigError
from workbench.fusion.context import Context
from workbench.fusion.encoder_decoder import DecisionFusion, HierarchicalFusion, Merge
from workbench.fusion.raw import JointLSTM, JointMLP, RawFusion
from workbench.fusion.reconstruction import Reconstructed
from workbench.taps import record

NAMES = ("text", "audio", "vision")
PRESENT = {"text": [True, True, False, False], "audio": [True, False, True, False], "vision": [True, True, True, False]}


def vectors(size=3, seed=0):
    """Three modalities of four samples; one sample has all, one has none."""
    torch.manual_seed(seed)
    z = {name: torch.randn(4, size, dtype=torch.float64) * torch.tensor(PRESENT[name])[:, None] for name in NAMES}
    masks = {name: torch.tensor(PRESENT[name])[:, None] for name in NAMES}
    return z, Context(masks, {name: Modality(torch.zeros(4, 1, 2), masks[name]) for name in NAMES}, torch.arange(4))


def layer(module):
    return module.weight.detach().numpy(), module.bias.detach().numpy()


def row(z, n):
    return [value[n].detach().numpy() for value in z.values()]


def there(n):
    return [PRESENT[name][n] for name in NAMES]


@pytest.mark.parametrize("kind", ["add", "multiply", "concatenate", "cross"])
def test_merges_meet_the_transcription(kind):
    z, context = vectors()
    merge = Merge(NAMES, 3, kind, cross_size=2).double()
    merged = merge(z, {name: context.present(name) for name in NAMES})
    factors = [layer(merge.factors[name]) for name in NAMES] if kind == "cross" else None
    for n in range(3):
        np.testing.assert_allclose(merged[n].detach().numpy(), reference.merge(row(z, n), kind, there(n), factors), atol=1e-10)
    assert bool((merged[3] == 0).all())
    assert merge.size == merged.shape[1] == {"add": 3, "multiply": 3, "concatenate": 9, "cross": 3 * 4}[kind]


def test_a_cross_product_that_is_too_wide_says_what_would_do():
    # 3 x 147^2 = 64,827 fit into 2^16 = 65,536; 3 x 148^2 = 65,712 do not.
    assert Merge(NAMES, 1, "cross", cross_size=147).size == 64_827
    with pytest.raises(ConfigError, match=r"3 x 148 x 148 = 65,712 numbers[\s\S]*at most 65,536[\s\S]*cross_size=147 or smaller"):
        Merge(NAMES, 1, "cross", cross_size=148)
    with pytest.raises(ConfigError, match=r"3 modalities would have 3 x 256 x 256"):
        HierarchicalFusion(NAMES, 8192, levels=2, kind="cross", cross_size=256)
    assert Merge(NAMES, 3, "add", cross_size=256).size == 3


@pytest.mark.parametrize("kind", ["add", "multiply"])
def test_hierarchical_fusion_meets_the_transcription(kind):
    z, context = vectors()
    fusion = HierarchicalFusion(NAMES, 3, levels=3, kind=kind).double()
    with record(fusion, "levels") as trace:
        fused, losses = fusion(z, z, context)
    for n in range(4):
        h, below = row(z, n), []
        for level in range(3):
            if level:
                h = [np.maximum(reference.linear(x, *layer(fusion.layers[level - 1][name])), 0) for name, x in zip(NAMES, h, strict=True)]
                h = [x * is_there for x, is_there in zip(h, there(n), strict=True)]
            merged = reference.merge(h, kind, there(n)) * any(there(n))
            below = np.maximum(reference.linear(np.concatenate([merged, below]), *layer(fusion.joint[level])), 0)
            np.testing.assert_allclose(trace.dataset()["levels"][n, level].values, below, atol=1e-6)
        np.testing.assert_allclose(fused[n].detach().numpy(), below, atol=1e-10)
    assert losses == {}


def decided(combine, task, outputs, temperature=0.7):
    z, context = vectors()
    heads = {name: nn.Linear(3, outputs) for name in NAMES}
    fusion = DecisionFusion(heads, combine=combine, task=task, outputs=outputs, temperature=temperature).double()
    if combine == "learned":
        with torch.no_grad():
            fusion.weight.copy_(torch.tensor([0.3, -1.0, 0.5]))
    with record(fusion, "*") as trace:
        fused, _ = fusion(z, z, context)
    said = [[reference.linear(x, *layer(heads[name])) for name, x in zip(NAMES, row(z, n), strict=True)] for n in range(4)]
    chosen = [there(n) if any(there(n)) else [True] * 3 for n in range(4)]
    kept = [[p for p, is_there in zip(said[n], chosen[n], strict=True) if is_there] for n in range(4)]
    return fused.detach().numpy(), kept, chosen, said, trace.dataset()


@pytest.mark.parametrize(("task", "outputs"), [("regression", 1), ("multiclass", 4), ("multilabel", 3)])
def test_an_average_takes_the_modalities_that_are_there(task, outputs):
    fused, kept, chosen, said, trace = decided("average", task, outputs)
    np.testing.assert_allclose(fused, [sum(p) / len(p) for p in kept], atol=1e-10)
    np.testing.assert_allclose(trace["weights"].values, [np.array(c) / sum(c) for c in chosen], atol=1e-6)
    np.testing.assert_allclose(trace["decisions"].values.reshape(4, 3, outputs), said, atol=1e-6)
    assert trace["decisions"].dims[:2] == ("batch", "modality")
    assert trace["decisions"].ndim == (2 if outputs == 1 else 3)


def test_learned_weights_are_a_softmax_over_the_modalities_that_are_there():
    fused, _, chosen, said, _ = decided("learned", "multiclass", 4)
    for n in range(4):
        weight = np.exp([0.3, -1.0, 0.5]) * chosen[n]
        np.testing.assert_allclose(fused[n], sum(w * p for w, p in zip(weight / weight.sum(), said[n], strict=True)), atol=1e-10)


def test_votes_meet_the_transcription():
    fused, kept, *_ = decided("vote", "regression", 1)
    np.testing.assert_allclose(fused[:, 0], [reference.vote_of_numbers([float(x[0]) for x in p], 0.7) for p in kept], atol=1e-10)
    fused, kept, *_ = decided("vote", "multiclass", 4)
    np.testing.assert_allclose(fused, [reference.vote_of_classes(p, 0.7) for p in kept], atol=1e-10)
    fused, kept, *_ = decided("vote", "multilabel", 3)
    np.testing.assert_allclose(fused, [reference.vote_of_labels(p, 0.7) for p in kept], atol=1e-10)


def test_a_hard_vote_is_the_majority_and_does_not_follow_an_outlier():
    z = {name: value.double() for name, value in zip(NAMES, torch.tensor([[[1.0]], [[1.2]], [[90.0]]]), strict=True)}
    masks = {name: torch.ones(1, 1, dtype=torch.bool) for name in NAMES}
    context = Context(masks, {}, torch.arange(1))
    heads = {name: nn.Identity() for name in NAMES}
    number = DecisionFusion(heads, combine="vote", task="regression", outputs=1, temperature=0.01)(z, z, context)[0]
    assert float(number) == pytest.approx(1.2, abs=0.01)
    two_to_one = {name: value.double() for name, value in zip(NAMES, torch.tensor([[[0.1, 0.0]], [[0.1, 0.0]], [[0.0, 90.0]]]), strict=True)}
    scores = DecisionFusion(heads, combine="vote", task="multiclass", outputs=2, temperature=0.01)(two_to_one, two_to_one, context)[0]
    np.testing.assert_allclose(scores.exp().numpy(), [[2 / 3, 1 / 3]], atol=1e-4)


@pytest.mark.parametrize(("combine", "is_additive"), [("average", True), ("learned", True), ("vote", False)])
def test_average_and_learned_mean_are_additive(combine, is_additive):
    """f(a, b) - f(a, b') - f(a', b) + f(a', b') = 0 for an additive f, whatever the rest: an exclusive-or is beyond it."""
    torch.manual_seed(1)
    heads = {name: nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)) for name in NAMES}
    fusion = DecisionFusion(heads, combine=combine, task="regression", outputs=1).double()
    a, b, c = torch.randn(3, 2, 3, dtype=torch.float64) * 3
    corners = {"text": a[[0, 0, 1, 1]], "audio": b[[0, 1, 0, 1]], "vision": c[[0, 0, 0, 0]]}
    context = Context({name: torch.ones(4, 1, dtype=torch.bool) for name in NAMES}, {}, torch.arange(4))
    f = fusion(corners, corners, context)[0][:, 0]
    interaction = float((f[0] - f[1] - f[2] + f[3]).detach().abs())
    assert interaction < 1e-12 if is_additive else interaction > 1e-3


LENGTHS = {"text": [4, 1, 0, 3], "audio": [9, 5, 6, 3], "vision": [1, 1, 1, 0]}


def sequences(size=2):
    torch.manual_seed(2)
    masks = {name: torch.arange(max(n)) < torch.tensor(n)[:, None] for name, n in LENGTHS.items()}
    masks["audio"][0, 4] = False  # a missing step keeps its place
    z = {name: torch.randn(*mask.shape, size, dtype=torch.float64) * mask[:, :, None] for name, mask in masks.items()}
    return z, Context(masks, {}, torch.arange(4))


def test_raw_fusion_meets_the_transcription_on_unaligned_steps():
    z, context = sequences()
    joint = JointLSTM(6, 5, layers=2).double()
    fusion = RawFusion(Merge(NAMES, 2, "concatenate"), joint, modalities=NAMES, reference="text").double()
    with record(fusion, "parts") as trace:
        fused, _ = fusion(z, z, context)
    for n, count in enumerate([4, 1, 6, 3]):
        masks = [context.masks[name][n].numpy() for name in NAMES]
        merged = early.early_fusion(row(z, n), masks, count)
        states = merged
        for one in joint.layers:
            p = {key: value.numpy() for key, value in one.forwards[0].state_dict().items()}
            states = early.lstm(states, p["weight_ih_l0"], p["weight_hh_l0"], p["bias_ih_l0"], p["bias_hh_l0"])
        np.testing.assert_allclose(fused[n].detach().numpy(), states[-1], atol=1e-10)
        lengths = [np.linalg.norm(merged[:, 2 * i : 2 * i + 2], axis=1) for i in range(3)]
        np.testing.assert_allclose(trace.dataset()["parts"][n, :count].values, np.array(lengths).T, atol=1e-6)
    assert trace.dataset()["parts"].dims == ("batch", "parts.text_time", "modality")


def test_a_step_without_any_modality_does_not_count():
    mask = torch.tensor([[True, False, True]])
    z = {name: torch.tensor([[[1.0], [0.0], [3.0]]], dtype=torch.float64) for name in NAMES}
    fusion = RawFusion(Merge(NAMES, 1, "add"), JointMLP(1, 2).double(), modalities=NAMES, reference="text")
    fused, _ = fusion(z, z, Context(dict.fromkeys(NAMES, mask), {}, torch.arange(1)))
    linear = fusion.joint.layers[0][0]
    expected = np.maximum(6 * linear.weight.detach().numpy()[:, 0] + linear.bias.detach().numpy(), 0)
    np.testing.assert_allclose(fused[0].detach().numpy(), expected, atol=1e-10)


class Given(nn.Module):
    def __init__(self, fused):
        super().__init__()
        self.fused = fused

    def forward(self, balanced, z, context):
        return self.fused, {"other": torch.tensor(1.0)}


def test_the_decoder_meets_the_transcription():
    torch.manual_seed(3)
    specs = {"words": ModalitySpec("tokens", 11), "sound": ModalitySpec("sequence", 2), "face": ModalitySpec("image", 1, shape=(1, 2, 2))}
    masks = {"words": torch.tensor([[1, 1], [1, 0]]).bool(), "sound": torch.tensor([[1, 0, 1], [0, 0, 0]]).bool(), "face": torch.ones(2, 1).bool()}
    sound = torch.randn(2, 3, 2)
    sound[~masks["sound"]] = float("nan")
    face = torch.randn(2, 1, 2, 2)
    inputs = {
        "words": Modality(torch.randint(2, 11, (2, 2)), masks["words"]),
        "sound": Modality(sound, masks["sound"]),
        "face": Modality(face, masks["face"]),
    }
    z = {name: torch.randn(*mask.shape, 4, dtype=torch.float64) * mask[:, :, None] for name, mask in masks.items()}
    for value in z.values():
        value.requires_grad_()
    fused = torch.randn(2, 4, dtype=torch.float64)
    fusion = Reconstructed(Given(fused), specs, 4, token_size=4, weight=0.5).double()
    given, losses = fusion(z, z, Context(masks, inputs, torch.arange(2)))
    words = z["words"].detach().numpy()
    targets = {
        "words": [(words[0, 0] + words[0, 1]) / 2, words[1, 0]],
        "sound": [(sound[0, 0] + sound[0, 2]).double().numpy() / 2],
        "face": [face[n].flatten().double().numpy() for n in range(2)],
    }
    total = 0.0
    for name, target in targets.items():
        first, _, last = fusion.decoders[name]
        told = [reference.linear(np.maximum(reference.linear(fused[n].numpy(), *layer(first)), 0), *layer(last)) for n in range(len(target))]
        total += np.mean([np.mean((a - b) ** 2) for a, b in zip(told, target, strict=True)])
    assert given is fused
    assert float(losses["reconstruction"].detach()) == pytest.approx(0.5 * total, abs=1e-6)
    assert float(losses["other"]) == 1
    losses["reconstruction"].backward()
    assert all(value.grad is None for value in z.values())
