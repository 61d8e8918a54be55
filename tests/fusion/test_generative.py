"""Generators and what stands where a modality is missing, against their naive transcription; and that a synthesis is worth more than zeros."""

import numpy as np
import pytest
import torch
from reference import generative as reference

from workbench import methods
from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.errors import ConfigError
from workbench.fusion.context import Context
from workbench.fusion.generative import RunningScale, SynthesiseMissing
from workbench.fusion.generators import ConditionalVAE, LatentDiffusion, gaussian_kl, kept_signal
from workbench.plan import Plan
from workbench.probes.missing import missing_scores
from workbench.taps import record
from workbench.training import TrainingState, training

NAMES = ("text", "audio", "vision")
SIZE = 4
PRESENT = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)


def numbers(*layers: torch.nn.Module) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in layers]


def flat(network: torch.nn.Sequential) -> list[np.ndarray]:
    return [part for pair in numbers(network[0], network[2]) for part in pair]


def vae(size: int = SIZE, condition_size: int = 5) -> ConditionalVAE:
    return ConditionalVAE(size, condition_size, latent_size=3, inner_size=6, beta=0.7)


def diffusion(size: int = SIZE, condition_size: int = 5) -> LatentDiffusion:
    return LatentDiffusion(size, condition_size, inner_size=6, steps=20, sampling_steps=4, draws=3)


def some(seed: int = 0) -> tuple[dict[str, torch.Tensor], Context]:
    torch.manual_seed(seed)
    present = torch.from_numpy(PRESENT)
    z = {name: (2 + torch.randn(len(PRESENT), SIZE, dtype=torch.float64)) * present[:, i, None] for i, name in enumerate(NAMES)}
    return z, Context({name: present[:, i, None] for i, name in enumerate(NAMES)}, {}, torch.arange(len(PRESENT)))


def test_cvae_meets_the_transcription():
    torch.manual_seed(0)
    model = vae().double()
    x, c, noise = (torch.randn(6, n, dtype=torch.float64) * 3 for n in (SIZE, 5, 3))
    terms, made = model.losses(x, c, noise), model.synthesise(c)
    networks = [flat(part) for part in (model.encoder, model.prior, model.decoder)]
    for n in range(6):
        reconstruction, kl = reference.cvae_losses(x[n].numpy(), c[n].numpy(), noise[n].numpy(), *networks, 0.7)
        assert terms["reconstruction"][n].item() == pytest.approx(reconstruction, abs=1e-10)
        assert terms["kl"][n].item() == pytest.approx(kl, abs=1e-10)
        np.testing.assert_allclose(made[n].detach().numpy(), reference.cvae_synthesis(c[n].numpy(), *networks[1:]), atol=1e-10)


def test_kl_by_hand():
    one, two = torch.zeros(1, 2), torch.ones(1, 2)
    assert float(gaussian_kl(two, one, two, one)) == 0
    assert float(gaussian_kl(two, one, one, one)) == pytest.approx(1.0)  # two features, each (1 - 0)^2 / 2
    # variance e against 1: (e - 1 - 1) / 2 a feature
    assert float(gaussian_kl(one, two, one, one)) == pytest.approx(np.e - 2, abs=1e-6)


def test_no_number_is_too_large_for_the_kl_term():
    model = vae()
    for huge in (1e4, -1e4):
        terms = model.losses(torch.full((2, SIZE), huge), torch.full((2, 5), huge))
        sum(value.sum() for value in terms.values()).backward()
        assert all(bool(value.isfinite().all()) for value in terms.values())
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


def test_diffusion_meets_the_transcription():
    torch.manual_seed(0)
    model = diffusion().double()
    x, c, noise = (torch.randn(6, n, dtype=torch.float64) for n in (SIZE, 5, SIZE))
    step = torch.tensor([0, 3, 7, 12, 18, 19])
    with torch.no_grad():  # strong enough that the bound of x_0 holds somewhere
        model.leave[3].weight *= 30
    layers = numbers(model.enter, model.leave[1], model.leave[3])
    losses, made = model.losses(x, c, noise, step)["denoising"], model.synthesise(c)
    np.testing.assert_allclose(kept_signal(20).numpy(), reference.kept_signal(20), atol=1e-12)
    assert model.sampled == [19, 13, 6, 0]
    for n in range(6):
        wanted = reference.diffusion_loss(x[n].numpy(), int(step[n]), noise[n].numpy(), c[n].numpy(), layers, 20)
        assert losses[n].item() == pytest.approx(wanted, abs=1e-10)
        np.testing.assert_allclose(made[n].numpy(), reference.ddim(model.start.numpy(), model.sampled, c[n].numpy(), layers, 20), atol=1e-10)


@pytest.mark.parametrize("treatment", ["synthesis", "zeros"])
@pytest.mark.parametrize("generator", [vae, diffusion])
def test_what_stands_where_a_modality_is_missing(generator, treatment):
    z, context = some()
    fusion = SynthesiseMissing(NAMES, SIZE, generator, missing=treatment).double().eval()
    for place, scale in enumerate(fusion.scales.values()):
        scale.mean.fill_(place)
        scale.variance.fill_(0.5 + place)
    scales = [(np.full(SIZE, float(i)), np.sqrt(0.5 + i + 1e-5)) for i in range(3)]

    def synthesise(place: int, c: np.ndarray) -> np.ndarray:
        return fusion.generators[NAMES[place]].synthesise(torch.from_numpy(c)[None])[0].detach().numpy()

    with record(fusion, "synthesised") as trace:
        fused, losses = fusion(z, z, context)
    assert losses == {}
    assert fused.shape == (4, fusion.size)
    for n, present in enumerate(PRESENT):
        wanted = reference.fused([value[n].numpy() for value in z.values()], present, scales, synthesise, treatment)
        np.testing.assert_allclose(fused[n].detach().numpy(), wanted, atol=1e-10)
    assert trace.dataset()["synthesised"].values.tolist() == (~PRESENT * (treatment == "synthesis")).astype(float).tolist()


def test_the_mean_as_a_condition():
    z, _ = some()
    fusion = SynthesiseMissing(NAMES, SIZE, vae, condition="mean").double()
    said = fusion.condition_of(0, z, torch.from_numpy(PRESENT))
    assert said.shape == (4, SIZE + 2)
    torch.testing.assert_close(said[0, :SIZE], (z["audio"][0] + z["vision"][0]) / 2)
    torch.testing.assert_close(said[1, :SIZE], z["vision"][1])  # audio is not there
    assert said[3].tolist() == [0.0] * (SIZE + 2)
    assert said[:, SIZE:].tolist() == PRESENT[:, 1:].astype(float).tolist()


def test_the_treatment_can_be_changed_and_is_checked():
    fusion = SynthesiseMissing(NAMES, SIZE, vae)
    fusion.missing = "zeros"
    assert fusion.missing == "zeros"
    with pytest.raises(ConfigError, match=r'unknown treatment of missing modalities "zeroes"\. Did you mean zeros'):
        fusion.missing = "zeroes"


def test_synthesis_can_be_looked_at_where_nothing_is_missing():
    z, context = some()
    fusion = SynthesiseMissing(NAMES, SIZE, vae).double().eval()
    first = {name: value[:1] for name, value in z.items()}
    whole = Context({name: mask[:1] for name, mask in context.masks.items()}, {}, context.index[:1])
    plain = fusion(first, first, whole)[0]
    with record(fusion, "synthesis") as trace:
        assert torch.equal(fusion(first, first, whole)[0], plain)
    assert trace.dataset()["synthesis"].shape == (1, 3, SIZE)


def test_what_is_hidden_in_training_is_never_everything():
    torch.manual_seed(0)
    fusion = SynthesiseMissing(NAMES, SIZE, vae, drop=0.6)
    present = torch.ones(4000, 3, dtype=torch.bool)
    present[:, 2] = False
    kept = fusion.train()._kept(present)
    assert bool(kept.any(1).all())
    assert not bool((kept & ~present).any())
    # of two: hidden with .6 each, but not both: .6 * .4 hidden alone
    assert float((~kept[:, 0]).float().mean()) == pytest.approx(0.24, abs=0.03)
    assert torch.equal(fusion.eval()._kept(present), present)


def test_z_cannot_shrink_to_please_the_generator():
    """What a modality alone says has no gradient from its own generator's target: only the other modalities' conditions do."""
    z, context = some()
    for generator in (vae, diffusion):
        fusion = SynthesiseMissing(("text", "audio"), SIZE, lambda size, _, make=generator: make(size, 5), drop=0.0).double().train()
        leaves = {name: z[name].clone().requires_grad_() for name in ("text", "audio")}
        fusion.generators["audio"].losses = lambda x, c: {"term": x.sum(1) + 0 * c.sum(1)}
        fusion.generators["text"].losses = lambda x, c: {"term": x.sum(1) + 0 * c.sum(1)}
        losses = fusion(leaves, leaves, context)[1]
        sum(losses.values()).backward()
        assert all(float(value.grad.abs().sum()) == 0 for value in leaves.values())


def test_running_scale_is_the_mean_and_variance_of_what_was_seen():
    torch.manual_seed(0)
    scale = RunningScale(3).double()
    parts = [torch.randn(10, 3, dtype=torch.float64) * (i + 1) + i for i in range(5)]
    for part in parts:
        scale.update(torch.cat([part, torch.full((2, 3), 99.0, dtype=torch.float64)]), torch.arange(12) < 10)
    scale.update(torch.full((2, 3), 99.0, dtype=torch.float64), torch.zeros(2, dtype=torch.bool))  # nothing that counts
    together = torch.cat(parts)  # the first twenty batches count alike
    torch.testing.assert_close(scale.mean, together.mean(0))
    torch.testing.assert_close(scale.variance, together.var(0, unbiased=False))
    torch.testing.assert_close(scale.restore(scale(parts[0])), parts[0])
    torch.testing.assert_close(scale(together).std(0, unbiased=False), torch.ones(3, dtype=torch.float64), atol=1e-4, rtol=0)


def predictable(seed: int = 0) -> Dataset:
    """The label is read in b (and a little in c); b follows from a through a bend; c follows from nothing."""
    random = np.random.default_rng(seed)
    turned, direction = random.standard_normal((5, 5)), random.standard_normal(5)

    def split(name: str, n: int) -> Split:
        a, c = random.standard_normal((n, 5)), random.standard_normal((n, 3))
        b = np.tanh(a @ turned) + 0.05 * random.standard_normal((n, 5))
        columns = {key: Column.from_rows(rows.astype(np.float32)) for key, rows in (("a", a), ("b", b), ("c", c))}
        return Split(name, columns, torch.from_numpy((b @ direction + 0.5 * c[:, 0]).astype(np.float32)), [f"{name}{i}" for i in range(n)])

    spec = Spec({"a": ModalitySpec("vector", 5), "b": ModalitySpec("vector", 5), "c": ModalitySpec("vector", 3)}, TaskSpec("regression"))
    return Dataset("predictable", spec, {"train": split("train", 320), "valid": split("valid", 100), "test": split("test", 300)})


@pytest.mark.parametrize("name", ["generative.cvae", "generative.diffusion"])
def test_a_synthesis_is_worth_more_than_zeros(name):
    data = predictable()
    model = methods.build(name, {"hidden_size": 16, "post_size": 16}, data.spec, seed=0)
    plan = Plan(epochs=16, patience=1000, learning_rate=1e-2, batch_size=32, probe_every=0, is_traced=False, device="cpu")
    for _ in training(model, data, plan, state=TrainingState.start(model, plan)):
        pass
    table = missing_scores(model, data)
    mae = table[table["metric"] == "mae"].set_index(["modality", "treatment"])["value"]
    assert mae["none", "present"] < 0.2
    # b follows from a: most of what is lost with zeros is won back
    assert mae["b", "synthesis"] < 0.6 * mae["b", "zeros"]
    # c follows from nothing: without it the best guess of 0.5 N(0, 1) is 0, an error of 0.5 sqrt(2 / pi) = 0.40
    assert mae["c", "synthesis"] > 0.3
