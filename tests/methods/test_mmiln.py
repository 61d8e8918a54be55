"""MMILN: the loss by hand, parameters by the paper, any modality at the centre, what each switch takes away, and the views by their names."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from reference import mmiln as reference
from reference import mult
from scipy.stats import moment

from workbench import methods
from workbench.data.batch import ModalitySpec, Spec, TaskSpec
from workbench.data.views import View, apply
from workbench.encoders import LSTMSteps, StepFeatures
from workbench.errors import ConfigError
from workbench.plan import Plan
from workbench.taps import record, taps
from workbench.tasks import make_task
from workbench.training import TrainingState, learners, training

SMALL = {"hidden_size": 4, "heads": 2, "layers": 2, "post_size": 5, "unimodal_size": 3, "embedding_size": 6}
WITH_IMAGES = {"text": "tokens", "image": "image", "sound": "sequence", "vitals": "vector"}


def built(data, *, seed=3, **config):
    return methods.build("mmiln", {**SMALL, **config}, data.spec, seed=seed).double().eval()


def seen_by_the_fusion(model, batch):
    """X^0 and masks, and the output."""
    caught = {}
    hook = model.fusion.register_forward_pre_hook(lambda module, args: caught.update(z=args[0], masks=args[2].masks))
    output = model(batch)
    hook.remove()
    return caught["z"], caught["masks"], output


def transcribed(model, batch, **settings):
    z, masks, output = seen_by_the_fusion(model, batch)
    weights = {name.removeprefix("fusion."): value.numpy() for name, value in model.state_dict().items() if name.startswith("fusion.")}
    rows = []
    for i in range(len(batch)):
        one = {name: value[i].detach().numpy() for name, value in z.items()}
        there = {name: mask[i].tolist() for name, mask in masks.items()}
        rows.append(reference.forward(one, there, weights, center=model.fusion.center, **{"layers": 2, "heads": 2, **settings}))
    return rows, masks, output


@pytest.mark.parametrize(
    "config",
    [{}, {"residual": "current", "gru": "full"}, {"has_screening": False, "heads": 4}, {"has_gates": False}, {"has_gate_fusion": False, "layers": 3}],
)
@pytest.mark.parametrize("center", ["text", "vision"])
def test_the_model_meets_the_transcription(toy, config, center):
    data = apply(View(drop={"audio": 0.3, "text": 0.3}, drop_frames={"text": 0.4}), toy)["valid"]
    model = built(toy, center=center, **config)
    rows, _, output = transcribed(model, data.batch(torch.arange(6)), **config)
    np.testing.assert_allclose(output.fused.detach().numpy(), [row[0] for row in rows], atol=1e-10)
    assert set(output.parts) == set(toy.modalities) - {center}
    for name, part in output.parts.items():
        np.testing.assert_allclose(part.detach().numpy(), [row[1][name] for row in rows], atol=1e-10)


@pytest.mark.parametrize("center", list(WITH_IMAGES))
def test_any_modality_is_the_centre_of_any_kinds(mixed_maker, center):
    data = apply(View(drop=dict.fromkeys(WITH_IMAGES, 0.3)), mixed_maker(WITH_IMAGES))
    model = built(data, center=center)
    rows, _, output = transcribed(model, data["valid"].batch(torch.arange(8)))
    np.testing.assert_allclose(output.fused.detach().numpy(), [row[0] for row in rows], atol=1e-10)
    assert model.fusion.center == center and center not in model.fusion.fused
    assert set(output.losses) == {"similarity", "difference"}
    assert len(model.fusion.pairs) == 3


def test_sequences_enter_by_eq_1_and_eq_4(toy):
    model = built(toy, kernel_size=5)
    batch = toy["valid"].batch(torch.arange(4))
    z, masks, _ = seen_by_the_fusion(model, batch)
    states = model.encoders["audio"](batch["audio"]).values
    for i in range(4):
        expected = mult.eq2_convolution(states[i].detach().numpy(), model.projections["audio"].weight.detach().numpy())
        np.testing.assert_allclose(z["audio"][i].detach().numpy(), expected * masks["audio"][i].numpy()[:, None], atol=1e-10)


def test_which_network_reads_which_modality(toy, mixed_maker):
    def kinds(spec, **config):
        return {name: type(encoder) for name, encoder in methods.build("mmiln", {**SMALL, **config}, spec).encoders.items()}

    assert kinds(toy.spec) == dict.fromkeys(toy.modalities, LSTMSteps)
    assert kinds(toy.spec, encoder="steps") == dict.fromkeys(toy.modalities, StepFeatures)
    assert kinds(toy.spec, text="frozen") == {"text": StepFeatures, "audio": LSTMSteps, "vision": LSTMSteps}
    mixed = mixed_maker(WITH_IMAGES).spec
    assert kinds(mixed) == {"text": LSTMSteps, "image": StepFeatures, "sound": LSTMSteps, "vitals": StepFeatures}


def test_the_centre_is_text_unless_another_is_named(toy, mixed_maker):
    def center(spec, **config):
        return methods.build("mmiln", {**SMALL, **config}, spec).fusion.center

    assert center(toy.spec) == "text"
    assert center(toy.spec, center="vision") == "vision"
    assert center(mixed_maker({"image": "image", "sound": "sequence"}).spec) == "sound"
    assert center(Spec({"face": ModalitySpec("vector", 3, 1), "voice": ModalitySpec("vector", 3, 1)}, toy.spec.task)) == "face"
    with pytest.raises(ConfigError, match=r'unknown modality "txt"\. Did you mean text'):
        center(toy.spec, center="txt")
    with pytest.raises(ConfigError, match="two modalities"):
        center(toy.select("text").spec)
    with pytest.raises(ConfigError, match="cannot be shared by 3 heads"):
        center(toy.spec, heads=3)


@pytest.mark.parametrize("size", [4, 6])
@pytest.mark.parametrize("names", [("text", "audio"), ("text", "audio", "vision")])
def test_parameters_by_the_paper(toy, names, size):
    data = toy.select(*names)
    model = methods.build("mmiln", {**SMALL, "hidden_size": size, "layers": 3}, data.spec)
    sizes = {name: data.spec.modalities[name].size for name in names}
    expected = reference.parameter_count(sizes, center="text", d=size, layers=3, post=5, unimodal=3, outputs=1)
    assert sum(p.numel() for p in model.parameters()) == expected


def test_the_loss_of_a_batch_is_eq_35_and_36(toy):
    """In the third epoch, when labels have moved: every term from the batch's numbers alone."""
    config = {**SMALL, "similarity_weight": 0.4, "difference_weight": 0.03}
    model = methods.build("mmiln", config, toy.spec, seed=0).double()
    plan = Plan(epochs=3, batch_size=48, probe_every=0, loss="mse")
    list(training(model, toy, plan, state=TrainingState.start(model, plan)))
    batch = toy["train"].batch(torch.arange(12))
    labels = model.supervision.generator.read(batch.index).numpy().copy()
    rows, _, output = transcribed(model, batch)
    found = make_task(toy.spec.task, loss="mse").loss(output.prediction, batch.target) + sum(model.terms(output, batch).values())
    heads = {name: value.numpy() for name, value in model.state_dict().items() if name.startswith(("head", "supervision.posts", "supervision.heads"))}
    total = 0.0
    for i, (fused, parts, _, _) in enumerate(rows):
        y = float(batch.target[i])
        total += (float(heads["head.weight"][0] @ fused) + heads["head.bias"][0] - y) ** 2 / len(rows)
        for place, name in enumerate(("audio", "vision")):
            post, own = f"supervision.posts.{name}.1", f"supervision.heads.{name}"
            features = np.maximum(heads[f"{post}.weight"] @ parts[name] + heads[f"{post}.bias"], 0)
            said = float(heads[f"{own}.weight"][0] @ features) + heads[f"{own}.bias"][0]
            total += np.tanh(abs(labels[i, place] - y)) * abs(said - labels[i, place]) / len(rows)
    stream, own = ({name: np.array([row[k][name][-1][0] for row in rows]) for name in ("audio", "vision")} for k in (3, 2))
    total += 0.4 * reference.eq24_cmd(stream["audio"], stream["vision"], lambda x, k: moment(x, order=k))
    total += 0.03 * sum(reference.eq26_difference(stream[name], own[name]) for name in stream)
    assert found.item() == pytest.approx(total, abs=1e-9)
    assert np.abs(labels - batch.target.numpy()[:, None]).max() > 0.05


def test_unimodal_tasks_read_the_last_layer_of_each_other_modality(toy):
    model = built(toy)
    assert list(model.supervision.posts) == ["audio", "vision"]
    batch = toy["train"].batch(torch.arange(6))
    for module in learners(model):
        module.begin(toy["train"], make_task(toy.spec.task))
    model.supervision.generator.labels.rows += 1
    output = model(batch)
    model.supervision(output, batch)["unimodal_audio"].backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and bool(p.grad.abs().sum() > 0)}
    assert {"fusion.unimodal.audio.layers.1.norm.weight", "encoders.audio.recurrent.forwards.0.weight_ih_l0"} <= reached
    assert not any(name.startswith(("fusion.fused", "fusion.unimodal.vision", "encoders.text", "head")) for name in reached)


@pytest.mark.parametrize("kind", ["classes", "labels"])
def test_classes_and_labels_are_trained_with_their_own_label(toy_maker, kind):
    data = toy_maker(**{kind: 3})
    model = methods.build("mmiln", SMALL, data.spec, seed=0)
    assert model.supervision.generator is None
    epoch = next(iter(training(model, data, Plan(epochs=1, probe_every=0, batch_size=32))))
    assert set(epoch.auxiliary) == {"unimodal_audio", "unimodal_vision", "similarity", "difference"}
    batch = data["train"].batch(torch.arange(6))
    output = model.eval()(batch)
    expected = epoch.task.loss(model.supervision.heads["audio"](model.supervision.posts["audio"](output.parts["audio"])), batch.target)
    assert model.supervision(output, batch)["unimodal_audio"].item() == pytest.approx(expected.item())


def test_ablations_of_table_3(toy):
    batch = toy["train"].batch(torch.arange(10))
    whole = built(toy)
    output = whole(batch)

    def ablated(**config):
        """The same weights, as far as they are there."""
        model = built(toy, **config)
        own = set(model.state_dict())
        fitting = {name: value for name, value in whole.state_dict().items() if name in own and value.shape == model.state_dict()[name].shape}
        model.load_state_dict(fitting, strict=False)
        return model(batch)

    without = ablated(has_refusion=False)
    assert without.losses == {} and torch.equal(without.prediction, output.prediction)
    for config in ({"has_gates": False}, {"has_gate_fusion": False}):
        without = ablated(**config)
        assert without.losses == {}
        assert not torch.allclose(without.prediction, output.prediction)
        assert set(without.parts) == {"audio", "vision"}
    assert set(ablated(has_gates=False, loss_on="outputs").losses) == {"similarity", "difference"}
    screened = ablated(has_screening=False)
    assert not torch.allclose(screened.prediction, output.prediction)
    # The streams see what the gates see: without fusion the unimodal layers are as they were, without gates they are not.
    assert torch.equal(ablated(has_gate_fusion=False).parts["audio"], output.parts["audio"])
    assert not torch.allclose(ablated(has_gates=False).parts["audio"], output.parts["audio"])


@pytest.mark.parametrize(
    ("config", "changed"),
    [
        ({"similarity_weight": 0.6}, {"similarity"}),
        ({"difference_weight": 0.002}, {"difference"}),
        ({"moments": 2}, {"similarity"}),
        ({"difference": "mean"}, {"difference"}),
        ({"loss_layers": "all"}, {"similarity", "difference"}),
        ({"loss_on": "outputs"}, {"similarity", "difference"}),
        # The streams' h of layer 2 are made of layer 1, which reads what was attended to in X^0.
        ({"residual": "current"}, {"difference", "prediction"}),
    ],
)
def test_settings_change_what_they_name(toy, config, changed):
    batch = toy["train"].batch(torch.arange(10))
    before, after = built(toy)(batch), built(toy, **config)(batch)
    found = {name for name in before.losses if not torch.allclose(before.losses[name], after.losses[name])}
    found |= set() if torch.equal(before.prediction, after.prediction) else {"prediction"}
    assert found == changed


def begun(model, split):
    """The model before its second epoch, in which each sample's label may move away from that of the whole."""
    batch = split.batch(torch.arange(len(split)))
    for module in learners(model):
        module.begin(split, make_task(TaskSpec("regression")))
    for number in (1, 2):
        model.supervision.begin_epoch(number)
        if number == 1:
            model.supervision(model(batch), batch)
    return batch


@pytest.mark.parametrize(
    ("setting", "changed"),
    [("dropout", {"prediction"}), ("layer_dropout", {"prediction", "audio", "task"}), ("unimodal_dropout", {"task"})],
)
def test_each_dropout_changes_what_it_names_and_in_training_alone(toy, setting, changed):
    def passed(is_training, **config):
        model = built(toy, **config)
        batch = begun(model, toy["train"])
        model.supervision.generator.labels.rows += 1
        torch.manual_seed(0)
        output = model.train(is_training)(batch)
        return {"prediction": output.prediction, "audio": output.parts["audio"], "task": model.supervision(output, batch)["unimodal_audio"]}

    plain, dropped, still = passed(True), passed(True, **{setting: 0.5}), passed(False, **{setting: 0.5})
    assert {name for name in plain if not torch.allclose(plain[name], dropped[name])} == changed
    assert all(torch.equal(plain[name], still[name]) for name in plain)


def test_the_unimodal_terms_have_their_weight(toy):
    found = []
    for weight in (1.0, 2.0, 0.0):
        model = built(toy, unimodal_weight=weight)
        batch = begun(model, toy["train"])
        model.supervision.generator.labels.rows += 1
        found.append([value.item() for value in model.supervision(model(batch), batch).values()])
    assert found[1] == pytest.approx([2 * value for value in found[0]]) and min(found[0]) > 0 and found[2] == [0.0, 0.0]


def test_settings_of_the_labels_change_labels(toy):
    target = toy["train"].target.double().where(torch.arange(96) % 4 > 0, 0.0)
    split = replace(toy["train"], target=target)

    def moved(**config):
        """By how much the labels of the second epoch differ from those of the whole."""
        model = built(toy, **config)
        batch = begun(model, split)
        model.supervision(model(batch), batch)
        return model.supervision.generator.read(batch.index) - target[:, None]

    plain = moved()
    assert plain.abs().max() > 0.1
    # Epoch 2 keeps 1/3 of a label by the rule, .9 by the setting.
    torch.testing.assert_close(moved(momentum=0.9) / 0.1, plain / (2 / 3))
    assert not torch.allclose(moved(zero_excluded=False), plain)
    high, tiny = moved(floor=1e3), moved(floor=1e-12)
    assert not torch.allclose(high, plain) and high.abs().max() <= tiny.abs().max()


def test_views_by_name(toy):
    model = built(toy)
    names = {
        f"fusion.unimodal.{m}.layers.{i}.{tap}" for m, i, tap in product(("audio", "vision"), (0, 1), ("retain", "compound", "attention.weights"))
    }
    gates = ("retain", "compound", "screening", "self_attention.weights", "cross_attention.weights")
    names |= {f"fusion.fused.{m}.layers.{i}.{tap}" for m, i, tap in product(("audio", "vision"), (0, 1), gates)}
    opened = ("retain", "compound", "screening", "unimodal_retain", "unimodal_compound")
    names |= {f"fusion.openness.{i}.{tap}" for i, tap in product((0, 1), opened)}
    assert set(taps(model)) == names | {"fusion.discrepancy", "fusion.overlap"}
    with record(model, "*") as trace:
        model(toy["valid"].batch(torch.arange(5)))
    seen = trace.dataset()
    assert set(seen.data_vars) == set(taps(model))
    cross = "fusion.fused.audio.layers.1.cross_attention.weights"
    assert seen[cross].dims == ("batch", f"{cross}.head", f"{cross}.text_time", f"{cross}.audio_time")
    assert seen["fusion.unimodal.vision.layers.0.attention.weights"].dims[2:] == tuple(
        f"fusion.unimodal.vision.layers.0.attention.weights.{axis}" for axis in ("vision_time", "vision_time_attended")
    )


def test_openness_of_each_layer_is_kept_of_every_epoch(toy):
    model = methods.build("mmiln", SMALL, toy.spec, seed=0)
    watch = [name for name, tap in taps(model).items() if set(tap.axes) == {"batch", "modality"}]
    assert len(watch) == 10
    epoch = next(iter(training(model, toy, Plan(epochs=1, probe_every=0), watch=watch)))
    assert set(epoch.watched) == set(watch)
    assert epoch.watched["fusion.openness.1.screening"].shape == (40, 2)


def test_presets_are_self_mm_s_with_a_squared_error():
    for name in ("mosi", "mosei", "sims"):
        own, other = methods.method("mmiln").PRESETS[name], methods.method("self_mm").PRESETS[name]
        assert own.plan == {**other.plan, "loss": "mse"}
        assert own.config == {**other.config, "layers": 3}
    assert methods.method("mmiln").RANGES == {"Fig. 4": {"layers": [1, 2, 3, 4, 5, 6]}}


def test_half_precision(toy):
    epoch = next(iter(training(methods.build("mmiln", SMALL, toy.spec, seed=0), toy, Plan(epochs=1, probe_every=0, precision="bf16"))))
    assert np.isfinite(epoch.loss["valid"])
