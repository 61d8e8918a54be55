"""MLDFA against its naive transcription, its parameters by the paper, what each switch takes away, and which network reads which modality."""

import numpy as np
import pytest
import torch
from reference import mldfa as reference

from workbench import balance, methods
from workbench.data.batch import Batch, ModalitySpec, Spec
from workbench.data.views import View, apply
from workbench.errors import ConfigError
from workbench.plan import Plan
from workbench.taps import record, taps
from workbench.training import training

SMALL = {"hidden_size": 4, "heads": 2, "encoder_heads": 2, "encoder_layers": 1, "post_size": 5, "embedding_size": 6}
WITH_IMAGES = {"text": "tokens", "image": "image", "sound": "sequence", "vitals": "vector"}
SWITCHES = ("has_global_local", "has_time_alignment", "has_gate", "has_attention_view", "has_attention_gate", "has_graph_view")


def built(data, *, seed=3, **config):
    return methods.build("mldfa", {**SMALL, **config}, data.spec, seed=seed).double().eval()


def shaken(data, **config):
    """A model whose alphas, norms and maps are far from their first values: maps of attention and time are not flat."""
    model = built(data, **config)
    torch.manual_seed(7)
    for module in (model.projections, model.fusion):
        for p in module.parameters():
            torch.nn.init.normal_(p)
    return model


def seen_by_the_fusion(model, batch):
    """z and masks: what Eq. (10) gives."""
    caught = {}
    hook = model.fusion.register_forward_pre_hook(lambda module, args: caught.update(z=args[0], masks=args[2].masks))
    fused = model(batch).fused
    hook.remove()
    return caught["z"], caught["masks"], fused


def assert_meets_the_transcription(model, batch, config, *, of=None, cls=()):
    settings = methods.checked(methods.method("mldfa").Config, {**SMALL, **config}, owner="mldfa").model_dump()
    weights = {name.removeprefix("fusion."): value.numpy() for name, value in model.state_dict().items() if name.startswith("fusion.")}
    z, masks, fused = seen_by_the_fusion(model, batch)
    for i in range(len(batch)):
        one = {name: value[i].detach().numpy() if value.dim() == 3 else value[i].detach().numpy()[None] for name, value in z.items()}
        expected = reference.fused(one, {name: mask[i].tolist() for name, mask in masks.items()}, weights, settings, reference=of, cls=cls)
        np.testing.assert_allclose(fused[i].detach().numpy(), expected, atol=1e-10)


@pytest.mark.parametrize(
    "config",
    [
        {},
        *({switch: False} for switch in SWITCHES),
        {"alpha": "shared", "alignment_heads": 4, "time_scale": "sqrt", "attention_weights": "per_modality", "gate_weights": "per_modality"},
        {"gate_weights": "per_modality", "has_attention_view": False},
        {"graph_edges": "softmax", "graph_nodes": "aligned", "graph_activation": "relu", "heads": 1},
    ],
)
def test_the_fusion_meets_the_transcription(toy, config):
    data = apply(View(drop={"audio": 0.3, "text": 0.3}, drop_frames={"text": 0.4}), toy)["valid"]
    assert_meets_the_transcription(shaken(toy, **config), data.batch(torch.arange(8)), config, of="text")


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_images_are_read_at_their_token_or_by_their_mean(mixed_maker, pooling):
    mixed = mixed_maker(WITH_IMAGES)
    data = apply(View(drop={"image": 0.4, "vitals": 0.3}), mixed)["valid"]
    model = shaken(mixed, image_pooling=pooling)
    assert_meets_the_transcription(model, data.batch(torch.arange(8)), {}, of="text", cls=("image",) if pooling == "cls" else ())
    assert list(model.fusion.alignment.time) == ["sound"]


def test_eq_10_before_pooling_is_eq_10_after_it(toy):
    """Without alignment, gate and attention view, the graph's nodes are W_M mean(H_M) + b_M."""
    model = built(toy, has_global_local=False, has_time_alignment=False)
    batch = toy["valid"].batch(torch.arange(6))
    z, masks, _ = seen_by_the_fusion(model, batch)
    found = model.fusion.alignment(z, masks)
    for place, name in enumerate(toy.modalities):
        states, mask = model.encoders[name](batch[name])
        mean = torch.stack([row[real].mean(0) for row, real in zip(states, mask, strict=True)])
        torch.testing.assert_close(found[:, place], model.projections[name](mean), atol=1e-12, rtol=0)


@pytest.mark.parametrize("names", [("text", "audio"), ("audio", "vision"), ("text", "audio", "vision")])
def test_parameters_of_the_fusion_by_the_paper(toy, names):
    model = built(toy.select(*names))
    reference_name = names[0]
    expected = reference.fusion_parameters(names, d=4, steps=names, aligned_names=[name for name in names if name != reference_name])
    assert sum(p.numel() for p in model.fusion.parameters()) == expected
    assert sum(p.numel() for p in model.head.parameters()) == (2 * len(names) * 4 * 5 + 5) + 6


@pytest.mark.parametrize(
    ("setting", "linears"),
    [("gate_weights", ("gate.linear", "attention.gate_map")), ("attention_weights", ("attention.query", "attention.key", "attention.value"))],
)
def test_maps_are_one_for_all_or_each_modalitys_own(toy, setting, linears):
    shared, own = ({name for name, _ in built(toy, **{setting: kind}).fusion.named_parameters()} for kind in ("shared", "per_modality"))
    assert {name.rsplit(".", 1)[0] for name in shared - own} == set(linears)
    assert {name.rsplit(".", 1)[0] for name in own - shared} == {f"{linear}.maps.{name}" for linear in linears for name in toy.modalities}


PARTS = {
    "has_global_local": ("fusion.alignment.local.", "fusion.alignment.logit"),
    "has_time_alignment": ("fusion.alignment.aligners.",),
    "has_gate": ("fusion.gate.",),
    "has_attention_view": ("fusion.attention.",),
    "has_attention_gate": ("fusion.attention.gate_map.",),
    "has_graph_view": ("fusion.graph.",),
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_takes_its_own_part_away_and_no_other(toy, switch):
    whole, less = built(toy), built(toy, seed=4, **{switch: False})
    names = set(whole.state_dict())
    gone = {name for name in names if name.startswith(PARTS[switch])}
    assert gone
    assert set(less.state_dict()) == names - gone
    # With the same numbers in what is left, the answer is another, and what comes before the part is the same.
    same = {name: value for name, value in whole.state_dict().items() if name not in gone and value.shape == less.state_dict()[name].shape}
    less.load_state_dict(same, strict=False)
    batch = toy["valid"].batch(torch.arange(8))
    with record(whole, "*") as before, record(less, "*") as after:
        full, short = whole(batch).fused, less(batch).fused
    untouched = {
        "has_global_local": (),
        "has_time_alignment": ("alpha",),
        "has_gate": ("alpha", "time"),
        "has_attention_view": ("alpha", "time", "fusion.gate", "graph"),
        "has_attention_gate": ("alpha", "time", "fusion.gate", "fusion.attention.attention", "graph"),
        "has_graph_view": ("alpha", "time", "fusion.gate", "fusion.attention"),
    }[switch]
    seen, left = before.dataset(), after.dataset()
    for name in left:
        is_same = np.array_equal(seen[name].values, left[name].values, equal_nan=True)
        if any(part in name for part in untouched) or name.startswith("encoders"):
            assert is_same, name
    half = whole.fusion.attention.size
    if switch == "has_attention_view":
        assert torch.equal(short, full[:, half:])
    elif switch == "has_graph_view":
        assert torch.equal(short, full[:, :half])
    else:
        assert (short - full)[:, :half].abs().max() > 1e-6
        assert torch.equal(short[:, half:], full[:, half:]) == (switch == "has_attention_gate")


def test_all_views_have_the_names_that_readers_look_for(toy):
    model = built(toy)
    axes = {name: tap.axes for name, tap in taps(model).items() if name.startswith("fusion.")}
    assert axes == {
        **{f"fusion.alignment.local.{name}.weights": ("batch", "head", f"{name}_time", f"{name}_time_attended") for name in toy.modalities},
        "fusion.alignment.alpha": ("batch", "modality"),
        "fusion.alignment.time.audio": ("batch", "text_time", "audio_time"),
        "fusion.alignment.time.vision": ("batch", "text_time", "vision_time"),
        "fusion.gate.gate": ("batch", "modality", "feature"),
        "fusion.gate.mean": ("batch", "modality"),
        "fusion.attention.attention": ("batch", "head", "modality", "modality_attended"),
        "fusion.attention.received": ("batch", "modality"),
        "fusion.attention.gate": ("batch", "modality", "feature"),
        "fusion.attention.gate_mean": ("batch", "modality"),
        "fusion.graph.adjacency": ("batch", "modality", "modality_attended"),
    }
    batch = toy["valid"].batch(torch.arange(4))
    plain = model(batch).prediction
    with record(model, "fusion.*") as trace:
        torch.testing.assert_close(model(batch).prediction, plain, atol=1e-10, rtol=0)
    assert set(trace.dataset()) == set(axes)


@pytest.mark.parametrize("sides", ["all", "one"])
def test_exact_b_fusion_with_images_and_modalities_that_samples_lack(mixed_maker, sides):
    dropped = {"image": 0.4, "sound": 0.4, "text": 0.4, "vitals": 0.4} if sides == "all" else {"image": 0.9}
    data = apply(View(drop=dropped, drop_in=("train", "valid")), mixed_maker(WITH_IMAGES))
    model = methods.build("mldfa", {**SMALL, "hidden_size": 8}, data.spec)
    model.balance = balance.build("b_fusion", model.modalities, {"update": "exact", "rate": 0.05, "warmup_epochs": 0})
    epochs = list(training(model, data, Plan(epochs=3, batch_size=16, probe_every=0)))
    assert all(bool(epoch.steps.isfinite().all()) for epoch in epochs)
    assert (model.balance.weight - 1).abs().max() > 0.01


def kinds(model):
    return {name: type(encoder).__name__ for name, encoder in model.encoders.items()}


def test_each_kind_has_the_papers_network_and_names_may_ask_for_others(mixed_maker):
    mixed = mixed_maker(WITH_IMAGES)
    usual = {"text": "StepTransformer", "image": "PatchTransformer", "sound": "ConvLSTMSteps", "vitals": "MeanMLP"}
    assert kinds(built(mixed)) == usual
    asked = built(mixed, encoders={"image": "mlp", "sound": "transformer", "text": "conv_lstm", "vitals": "steps"})
    assert kinds(asked) == {"text": "ConvLSTMSteps", "image": "MeanMLP", "sound": "StepTransformer", "vitals": "StepFeatures"}
    assert list(asked.fusion.alignment.local) == ["text", "sound"]
    spoken = mixed_maker({"text": "sequence", "audio": "sequence"})
    assert kinds(built(spoken)) == {"text": "StepTransformer", "audio": "ConvLSTMSteps"}
    # What has become a vector has no time: the first sequence that is left is the reference, and alone it is aligned with nothing.
    alone = built(spoken, encoders={"text": "mlp"})
    assert (alone.fusion.alignment.reference, list(alone.fusion.alignment.time)) == (None, [])
    assert bool(alone(spoken["valid"].batch(torch.arange(4))).prediction.isfinite().all())


def test_data_of_vectors_has_nothing_to_align(mixed_maker):
    vectors = mixed_maker({"one": "vector", "two": "vector"})
    model = built(vectors)
    assert [name for name in model.state_dict() if "alignment" in name] == []
    assert_meets_the_transcription(model, vectors["valid"].batch(torch.arange(4)), {})


def test_an_image_of_a_single_patch_is_one_step_without_its_token(mixed_maker):
    mixed = mixed_maker({"image": "image", "sound": "sequence"})
    assert list(built(mixed, patch_size=4).fusion.alignment.local) == ["image", "sound"]
    model = built(mixed, patch_size=4, image_pooling="mean").train()
    assert list(model.fusion.alignment.local) == ["sound"]
    model(mixed["train"].batch(torch.arange(16))).prediction.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.fixture
def tiny_vit(tmp_path):
    """A ViT of width 16: a [CLS] and four tokens."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.ViTModel(transformers.ViTConfig(image_size=8, patch_size=4, **sizes)).save_pretrained(tmp_path / "vit")
    return str(tmp_path / "vit")


@pytest.mark.parametrize("vision", ["frozen", "fine_tuned"])
def test_images_through_a_pretrained_model(mixed_maker, tiny_vit, vision):
    mixed = mixed_maker(WITH_IMAGES)
    config = {"vision": vision, "vision_model": tiny_vit}
    model = built(mixed, **config)
    assert kinds(model)["image"] == "PretrainedImage"
    assert any(p.requires_grad for p in model.encoders["image"].parameters()) == (vision == "fine_tuned")
    assert_meets_the_transcription(model, mixed["valid"].batch(torch.arange(4)), config, of="text", cls=("image",))
    assert model.fusion.alignment.cls == {"image"}
    assert built(mixed, image_pooling="mean", **config).fusion.alignment.cls == frozenset()


def test_what_cannot_be_built_is_refused(toy, mixed_maker):
    mixed = mixed_maker(WITH_IMAGES)
    with pytest.raises(ConfigError, match="mldfa needs two modalities"):
        built(toy.select("text"))
    with pytest.raises(ConfigError, match="both views are off"):
        built(toy, has_attention_view=False, has_graph_view=False)
    with pytest.raises(ConfigError, match=r'unknown modality "texts"\. Did you mean text\?'):
        built(toy, encoders={"texts": "mlp"})
    with pytest.raises(ConfigError, match="a width of 4 cannot be shared by 3 heads"):
        built(toy, heads=3)
    with pytest.raises(ConfigError, match="this encoder reads images"):
        built(toy, encoders={"audio": "patches"})
    with pytest.raises(ConfigError, match=r"vision=frozen needs a pretrained model for image[\s\S]*vision_model"):
        built(mixed, vision="frozen")
    with pytest.raises(ConfigError, match="image goes through a pretrained model, and encoders asks for mlp"):
        built(mixed, vision="frozen", vision_model="x", encoders={"image": "mlp"})
    tokens = ModalitySpec("tokens", 30522, 9, text_model="minilm")
    spec = Spec({**toy.spec.modalities, "text": tokens}, toy.spec.task)
    with pytest.raises(ConfigError, match="text goes through a pretrained model, and encoders asks for transformer"):
        methods.build("mldfa", {**SMALL, "encoders": {"text": "transformer"}}, spec)


def test_fine_tuned_text_gives_its_tokens(toy):
    pytest.importorskip("transformers")
    tokens = ModalitySpec("tokens", 30522, 9, text_model="minilm")
    model = methods.build("mldfa", SMALL, Spec({**toy.spec.modalities, "text": tokens}, toy.spec.task))
    assert kinds(model)["text"] == "TokenTransformer"
    assert model.projections["text"].in_features == 384
    assert model.fusion.alignment.reference == "text"


def test_the_papers_settings(toy):
    module = methods.method("mldfa")
    for data in ("mosi_mmsa", "meld_raw", "mmimdb"):
        preset = methods.preset_for("mldfa", data)
        assert (preset.config, preset.plan) == ({"hidden_size": 512}, {"learning_rate": 5e-4, "batch_size": 32})
    assert module.RANGES["Figs. 3-5"]["hidden_size"] == [128, 256, 512, 1024]
    for key, values in module.RANGES["Figs. 3-5"].items():
        plan, _, name = key.rpartition(".")
        for value in values:
            checked = methods.checked(Plan if plan else module.Config, {name: value}, owner="mldfa")
            assert getattr(checked, name) == value
    model = methods.build("mldfa", module.PRESETS["mosi"].config, toy.spec).eval()
    batch = toy["valid"].batch(torch.arange(2))
    assert model(Batch(batch.modalities, batch.target, batch.index)).prediction.shape == (2,)
