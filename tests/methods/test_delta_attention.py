"""Hierarchical delta-attention as a whole: against its naive transcription, its parameters, its stages, Table 1, and what each switch takes away."""

import numpy as np
import pytest
import torch
from reference import delta_attention as reference

from workbench import balance, methods
from workbench.data.batch import Batch, ModalitySpec, Spec
from workbench.data.views import View, apply
from workbench.errors import ConfigError
from workbench.fitting import order
from workbench.plan import Plan, stage_plan
from workbench.stages import entered
from workbench.taps import record
from workbench.tasks import make_task
from workbench.training import learners

SMALL = {"hidden_size": 6, "head_size": 3, "heads": 2, "correlated_size": 2, "post_size": 4, "embedding_size": 5}
WITH_IMAGES = {"text": "tokens", "image": "image", "sound": "sequence", "vitals": "vector"}


def built(data, *, seed=3, **config):
    return methods.build("delta_attention", {**SMALL, **config}, data.spec, seed=seed).double().eval()


def chosen(**config):
    return methods.checked(methods.method("delta_attention").Config, {**SMALL, **config}, owner="delta_attention")


def weights_of(module):
    return {name: value.numpy() for name, value in module.state_dict().items()}


def inputs(model, batch, i):
    """What Eq. (9) reads of one sample, and the masks: tokens are embedded, images are one step."""
    values, masks = {}, {}
    for name, encoder in model.encoders.items():
        seen, mask = encoder.features(batch[name])
        values[name], masks[name] = seen[i].detach().numpy(), mask[i].tolist()
    return values, masks


def assert_meets_the_transcription(model, batch, settings, lengths):
    weights = weights_of(model)
    attention = {key: settings[key] for key in ("heads", "window", "direction", "positions", "has_content", "padding", "is_centred")}
    fusion = {"heads": settings["fused_heads"], **{key: settings[key] for key in ("skip", "pooling", "has_correlation")}}
    output = model(batch)
    said = output.prediction if output.prediction.dim() == 2 else output.prediction[:, None]
    for i in range(len(batch)):
        x, masks = inputs(model, batch, i)
        y = reference.represented(x, masks, weights, lengths, **attention)
        for name, value in y.items():
            own = reference.masked_mean(value, masks[name])
            np.testing.assert_allclose(output.representations[name][i].detach().numpy(), own, atol=1e-10)
        fused, _ = reference.fused(y, masks, reference.below(weights, "fusion"), **fusion)
        np.testing.assert_allclose(output.fused[i].detach().numpy(), fused, atol=1e-10)
        np.testing.assert_allclose(said[i].detach().numpy(), reference.eq17(fused, weights), atol=1e-10)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"positions": "per_head", "direction": "forward", "window": 3},
        {"positions": "none", "skip": "none", "padding": "zeros"},
        {"has_content": False, "direction": "backward", "skip": "beside", "pooling": "steps"},
        {"is_centred": True, "has_correlation": False, "fused_heads": 2},
        {"kernel_sizes": {"text": 1, "audio": 4}, "correlated_kernel": 2, "correlated_inner": 5, "window": 1},
    ],
    ids=str,
)
def test_the_model_meets_the_transcription(toy, config):
    data = apply(View(drop={"audio": 0.3}, drop_frames={"text": 0.4}), toy)
    lengths = {name: modality.length for name, modality in data.spec.modalities.items()}
    assert_meets_the_transcription(built(data, **config), data["valid"].batch(torch.arange(4)), chosen(**config).model_dump(), lengths)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_model_meets_the_transcription_with_vectors_images_and_words(mixed_maker, task):
    data = apply(View(drop=dict.fromkeys(WITH_IMAGES, 0.3)), mixed_maker(WITH_IMAGES, task=task))
    lengths = {name: modality.length for name, modality in data.spec.modalities.items()}
    assert lengths["image"] == lengths["vitals"] == 1 < lengths["text"] < lengths["sound"]
    assert_meets_the_transcription(built(data), data["valid"].batch(torch.arange(5)), chosen().model_dump(), lengths)


def parameters(spec, *, d_o, d_ch, heads, d_r, d_t, kernel, offsets, outputs):
    """By the paper: convolution; Q, K, V of H heads; W_rel; W_O; E_M, D_M, S_M; Q, K, V of d_t; Eq. (17), a head for each unimodal stage and DCCA.
    A vector has kernel 1, and neither Q, K nor W_rel."""
    total, width = 0, heads * d_ch
    for name, modality in spec.modalities.items():
        steps = 1 if modality.length == 1 else kernel
        total += modality.size * d_ch * steps + d_ch
        total += d_ch * width + width
        if modality.length > 1:
            total += 2 * d_ch * width + width + d_ch * offsets[name]
        total += width * d_o + d_o
        total += steps * (d_o * d_o + d_o * d_r) + d_o + d_r
        total += steps * (d_r * d_o + d_o * d_o) + 2 * d_o
        total += d_o * d_r + d_r
        total += d_o * outputs + outputs
    total += len(spec.modalities) * d_r * outputs + outputs
    return total + 3 * d_r * d_t + 2 * d_t + d_t * outputs + outputs


@pytest.mark.parametrize(("direction", "window"), [("both", None), ("forward", None), ("backward", 4), ("both", 4)])
def test_parameters_by_the_paper(toy_classes, direction, window):
    spec = toy_classes.spec
    spec = Spec({**spec.modalities, "vitals": ModalitySpec("vector", 7)}, spec.task)
    reach = {name: min(m.length - 1, window or m.length) for name, m in spec.modalities.items()}
    offsets = {name: 2 * n + 1 if direction == "both" else n + 1 for name, n in reach.items()}
    model = methods.build("delta_attention", {**SMALL, "direction": direction, "window": window, "kernel_size": 5, "correlated_kernel": 5}, spec)
    expected = parameters(spec, d_o=6, d_ch=3, heads=2, d_r=2, d_t=4, kernel=5, offsets=offsets, outputs=4)
    assert sum(p.numel() for p in model.parameters()) == expected


# Stages


def stages_of(data, **config):
    return methods.method("delta_attention").stages(chosen(**config), data.spec)


def test_the_stages_are_those_of_table_1(toy):
    found = stages_of(toy)
    assert [(stage.name, stage.reads) for stage in found] == [
        ("unimodal.text", "text"),
        ("unimodal.audio", "audio"),
        ("unimodal.vision", "vision"),
        ("correlation", "correlated"),
        ("fusion", ""),
    ]
    assert stages_of(toy, joint=True) == ()
    assert stages_of(toy, joint=False) == found
    assert [stage.name for stage in stages_of(toy, has_correlation=False)][3:] == ["fusion"]
    assert methods.method("mult").stages(None, toy.spec) == ()


@pytest.mark.parametrize("config", [{}, {"skip": "none"}, {"skip": "beside"}, {"has_correlation": False}], ids=str)
def test_every_parameter_learns_in_exactly_one_stage(toy, config):
    model = built(toy, **config).float()
    task, learned = make_task(toy.spec.task), []
    for module in learners(model):
        module.begin(toy["train"], task)
    for stage in stages_of(toy, **config):
        with entered(model, stage):
            model.train().zero_grad()
            batch = toy["train"].batch(torch.arange(24))
            output = model(batch)
            (task.loss(output.prediction, batch.target) + sum(model.terms(output, batch).values())).backward()
            found = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
            assert found == [name for name, p in model.named_parameters() if p.requires_grad]
            learned += found
            wanted = {"correlation", "reconstruction"} if stage.name == "correlation" else set()
            assert set(output.losses) == wanted
    assert sorted(learned) == sorted(name for name, _ in model.named_parameters())


def test_all_at_once_the_readouts_add_their_losses(toy):
    model = built(toy, unimodal_weight=0.5).float().train()
    task = make_task(toy.spec.task)
    for module in learners(model):
        module.begin(toy["train"], task)
    batch = toy["train"].batch(torch.arange(8))
    output = model(batch)
    terms = model.terms(output, batch)
    assert set(terms) == {"correlation", "reconstruction", "readout_text", "readout_audio", "readout_vision", "readout_correlated"}
    alone = model.supervision.heads["audio"](output.representations["audio"])[:, 0]
    assert float(terms["readout_audio"].detach()) == pytest.approx(0.5 * float((alone - batch.target).abs().mean().detach()), abs=1e-6)


def test_table_1(toy):
    preset = methods.preset_for("delta_attention", "mosei_emotions_csd")
    assert preset.config == {"text": "fine_tuned"}
    data_has = Spec({name: toy.spec.modalities[name] for name in ("text", "vision", "audio")}, toy.spec.task)
    plan = methods.checked(Plan, preset.plan, owner="plan")
    rows = {stage.name: stage_plan(plan, stage) for stage in methods.method("delta_attention").stages(chosen(), data_has)}
    said = {name: (row.epochs, row.learning_rate, row.batch_size, row.weight_decay, row.optimizer) for name, row in rows.items()}
    assert said == {
        "unimodal.text": (10, 1e-6, 32, 1e-4, "adam"),
        "unimodal.vision": (10, 1e-5, 8, 1e-4, "adam"),
        "unimodal.audio": (10, 1e-5, 8, 1e-4, "adam"),
        "correlation": (100, 2e-4, 4, 1e-6, "adam"),
        "fusion": (5, 1e-5, 8, 1e-6, "adam"),
    }
    assert rows["unimodal.text"].text_learning_rate == 1e-6


def test_a_rule_trains_all_at_once(toy):
    assert order("delta_attention", toy, config=SMALL).config.joint is None
    assert order("delta_attention", toy, config=SMALL, balance="b_fusion").config.joint is True


# Settings


def test_what_the_switches_take_away(toy):
    names = {name for name, _ in built(toy).named_parameters()}

    def less(**config):
        return {
            name.split(".")[-2 if "relative" not in name else -1] for name in names - {name for name, _ in built(toy, **config).named_parameters()}
        }

    assert less(positions="none") == {"relative"}
    assert less(has_content=False) == {"query", "key"}
    assert less(skip="none") == {"text", "audio", "vision"}
    assert less(has_correlation=False) == {"first", "second", "correlated"}
    assert less(is_centred=True) == {"convolution"}
    assert less(skip="beside") == set()


def test_positions_and_window_change_the_answer(toy):
    batch = toy["valid"].batch(torch.arange(4))
    plain = built(toy)(batch).prediction
    # New weights are drawn in another order where there are fewer: the same weights, loaded.
    for config in ({"positions": "none"}, {"has_content": False}, {"skip": "none"}, {"padding": "zeros"}, {"direction": "backward"}, {"window": 2}):
        other = built(toy, **config)
        shared = {name: value for name, value in built(toy).state_dict().items() if name in other.state_dict()}
        for name in shared:
            if name.endswith("relative"):  # the columns of the offsets that are left
                middle, size = shared[name].shape[2] // 2, other.state_dict()[name].shape[2]
                start = 0 if config.get("direction") else middle - size // 2
                shared[name] = shared[name][:, :, start : start + size]
        other.load_state_dict(shared)
        assert not torch.allclose(other(batch).prediction, plain), config


def test_delta_maps_are_recorded_modality_by_modality(toy):
    model = built(toy)
    batch = toy["valid"].batch(torch.arange(4))
    with record(model, "encoders.*") as trace:
        model(batch)
    told = trace.dataset()
    assert set(told) == {f"encoders.{name}.attention.{leaf}" for name in toy.modalities for leaf in ("weights", "plain", "delta")}
    maps = told["encoders.audio.attention.weights"]
    assert [dim.rsplit(".", 1)[-1] for dim in maps.dims] == ["batch", "head", "audio_time", "audio_time_attended"]
    assert maps.shape[1] == 2 and told["encoders.audio.attention.delta"].shape[1] == 1


def test_words_go_through_a_pretrained_model_first(mixed_maker):
    data = mixed_maker({"text": "tokens", "sound": "sequence"})
    spec = Spec({**data.spec.modalities, "text": ModalitySpec("tokens", 30522, 7, text_model="minilm")}, data.spec.task)
    model = methods.build("delta_attention", SMALL, spec)
    pretrained = [module for module in model.modules() if getattr(module, "is_pretrained", False)]
    assert pretrained == [model.encoders["text"].features.model]
    loss = model(data["train"].batch(torch.arange(2))).prediction.sum()
    loss.backward()
    assert next(pretrained[0].parameters()).grad.abs().sum() > 0


def test_settings_that_will_not_do(toy):
    with pytest.raises(ConfigError, match="delta_attention needs two modalities"):
        methods.build("delta_attention", {}, toy.select("text").spec)
    with pytest.raises(ConfigError, match=r'unknown modality "texts"\. Did you mean text\?'):
        methods.build("delta_attention", {"kernel_sizes": {"texts": 1}}, toy.spec)
    spec = Spec({"text": toy.spec.modalities["text"], "correlated": toy.spec.modalities["audio"]}, toy.spec.task)
    with pytest.raises(ConfigError, match='a modality cannot be called "correlated" here'):
        methods.build("delta_attention", {}, spec)
    with pytest.raises(ConfigError, match="window=0 will not do"):
        methods.build("delta_attention", {"window": 0}, toy.spec)
    with pytest.raises(ConfigError, match="a width of 64 cannot be shared by 3 heads"):
        methods.build("delta_attention", {"fused_heads": 3}, toy.spec)


@pytest.mark.parametrize("update", ["first_order", "exact"])
def test_an_exact_rule_learns_through_the_fused_attention(toy_maker, update):
    """The exact gradient of the weights is that of finite differences; first order is not compared, but is there."""
    data = toy_maker(train=16)
    model = methods.build("delta_attention", SMALL, data.spec, seed=2).double().train()
    model.balance = balance.build("b_fusion", model.modalities, {"update": update, "normalize": False, "warmup_epochs": 0}).double()
    task = make_task(data.spec.task, loss="mse")
    batch = data["train"].batch(torch.arange(16))
    batch = Batch(batch.modalities, batch.target.double(), batch.index)
    loss = task.loss(model(batch).prediction, batch.target)
    model.balance.before_backward(loss, model, share=1.0, has_terms=True)
    if update == "first_order":
        assert len(model.balance._task_gradients) == 3
        return

    def magnitudes(weight):
        with torch.no_grad():
            model.balance.weight.copy_(weight)
        said = task.loss(model(batch).prediction, batch.target)
        return model.balance._magnitudes(torch.autograd.grad(said, model.balance._matrices(model)))

    start, step = torch.ones(3, dtype=torch.float64), 1e-5
    g = magnitudes(start)
    target = g.mean() * g.max() / g
    numeric = [
        float((torch.sign(g - target) * (magnitudes(start + step * unit) - magnitudes(start - step * unit))).sum() / (2 * step))
        for unit in torch.eye(3)
    ]
    np.testing.assert_allclose(model.balance._step_gradient.numpy(), numeric, rtol=1e-4, atol=1e-8)
