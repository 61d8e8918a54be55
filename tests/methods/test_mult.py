"""MulT against its naive transcription, its parameter count by the paper, and what the convolution, the mask and the last step do."""

import numpy as np
import pytest
import torch
from reference import mult as reference

from workbench import methods
from workbench.data.batch import Batch, Modality
from workbench.data.views import View, apply
from workbench.errors import ConfigError
from workbench.methods.mult import TemporalConvolution
from workbench.taps import record

SMALL = {"hidden_size": 4, "heads": 2, "layers": 2, "memory_layers": 1}


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"is_causal": True},
        {"kernel_sizes": {"text": 1, "audio": 4, "vision": 5}, "layers": 1, "memory_layers": 2, "post_size": 7},
        {"is_causal": True, "layers": 1, "memory_layers": 2},
    ],
)
def test_the_model_meets_the_transcription(toy, config):
    config = {**SMALL, **config}
    model = methods.build("mult", config, toy.spec, seed=3).double().eval()
    data = apply(View(drop={"audio": 0.3}, drop_frames={"text": 0.4}), toy)["valid"]
    batch = data.batch(torch.arange(5))
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    settings = {key: config[key] for key in ("layers", "memory_layers", "heads")}
    for i, said in enumerate(model(batch).prediction.tolist()):
        masks = {name: modality.mask[i].tolist() for name, modality in batch.modalities.items()}
        x = {name: np.where(np.array(masks[name])[:, None], batch[name].values[i].double().numpy(), 0) for name in masks}
        expected = reference.forward(x, masks, weights, **settings, is_causal=config.get("is_causal", False))
        np.testing.assert_allclose(said, expected[0], atol=1e-10)


@pytest.mark.parametrize("names", [("text", "audio"), ("text", "audio", "vision")])
def test_parameters_by_the_paper(toy, names):
    data = toy.select(*names)
    model = methods.build("mult", {"hidden_size": 20, "layers": 3, "memory_layers": 4, "kernel_sizes": {"audio": 5}}, data.spec)
    sizes, kernels = [data.spec.modalities[name].size for name in names], [5 if name == "audio" else 3 for name in names]
    expected = reference.parameter_count(sizes, kernels, d=20, layers=3, memory_layers=4, outputs=1)
    assert sum(p.numel() for p in model.parameters()) == expected
    assert len(model.fusion.crossmodal.streams) == len(names) * (len(names) - 1)


def test_a_convolution_is_that_of_the_transcription_and_keeps_the_length():
    torch.manual_seed(0)
    for kernel in (1, 2, 3, 8):
        layer = TemporalConvolution(3, 2, kernel=kernel).double()
        for time in (1, 2, 5):
            x = torch.randn(1, time, 3, dtype=torch.float64)
            expected = reference.eq2_convolution(x[0].numpy(), layer.weight.detach().numpy())
            np.testing.assert_allclose(layer(x)[0].detach().numpy(), expected, atol=1e-12)
    assert layer.weight is layer.convolution.weight


def test_a_sample_shorter_than_the_kernel(toy):
    model = methods.build("mult", {**SMALL, "kernel_size": 31}, toy.spec).eval()
    modalities = {name: Modality(m.values[:, :1], m.mask[:, :1]) for name, m in toy["valid"].batch(torch.arange(4)).modalities.items()}
    assert model(Batch(modalities, torch.zeros(4), torch.arange(4))).prediction.isfinite().all()


def test_a_causal_stream_does_not_see_later_steps(toy):
    model = methods.build("mult", {**SMALL, "is_causal": True}, toy.spec).double().eval()
    z = {name: torch.randn(1, 6, 4, dtype=torch.float64) for name in toy.modalities}
    masks = {name: torch.ones(1, 6, dtype=torch.bool) for name in z}
    later = {name: torch.cat([value[:, :4], value[:, 4:] + 1], dim=1) for name, value in z.items()}
    crossmodal = model.fusion.crossmodal
    for is_causal in (True, False):
        before, after = (crossmodal(values, masks, is_causal=is_causal)["text"][0] for values in (z, later))
        assert torch.equal(before[:, :4], after[:, :4]) == is_causal


def test_the_last_real_step_is_read_and_nothing_of_what_a_sample_lacks(toy):
    model = methods.build("mult", SMALL, toy.spec).double().eval()
    silent = apply(View(drop={"audio": 1.0}), toy)["valid"].batch(torch.arange(4))
    fused = model(silent).fused
    # text and vision have 8 numbers each, audio between them
    assert fused[:, 8:16].abs().max() == 0
    assert fused[:, :8].abs().min() > 0


def test_maps_of_all_six_streams_and_three_memories_are_recorded(toy):
    model = methods.build("mult", SMALL, toy.spec).eval()
    batch = toy["valid"].batch(torch.arange(4))
    plain = model(batch).prediction
    with record(model, "fusion.*.weights") as trace:
        torch.testing.assert_close(model(batch).prediction, plain, atol=1e-5, rtol=0)
    told = trace.dataset()
    assert len(told) == 6 * 2 + 3
    maps = told["fusion.crossmodal.streams.vision_from_text.layers.0.attention.weights"]
    assert maps.shape == (4, 2, batch["vision"].values.shape[1], batch["text"].values.shape[1])
    np.testing.assert_allclose(maps.sum(maps.dims[-1]), 1, atol=1e-5)
    own = told["fusion.memories.text.layers.0.attention.weights"]
    assert [dim.rsplit(".", 1)[-1] for dim in own.dims[2:]] == ["text_time", "text_time_attended"]


@pytest.mark.parametrize("setting", [{"kernel_sizes": {"texts": 1}}, {"attention_dropouts": {"texts": 0.1}}, {"input_dropouts": {"texts": 0.1}}])
def test_settings_of_a_modality_that_is_not_there(toy, setting):
    with pytest.raises(ConfigError, match=r'unknown modality "texts"\. Did you mean text\?'):
        methods.build("mult", setting, toy.spec)


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ({"kernel_sizes": {"text": 0}}, r"kernel_sizes\.text=0 will not do"),
        ({"kernel_sizes": {"text": -3}}, r"kernel_sizes\.text=-3 will not do"),
        ({"kernel_sizes": {"text": 1024}}, r"kernel_sizes\.text=1024 will not do"),
        ({"kernel_sizes": {"text": 2.5}}, r"kernel_sizes\.text=2\.5 will not do"),
        ({"attention_dropouts": {"audio": 1.0}}, r"attention_dropouts\.audio=1\.0 will not do"),
        ({"attention_dropouts": {"audio": -0.1}}, r"attention_dropouts\.audio=-0\.1 will not do"),
        ({"input_dropouts": {"text": 2}}, r"input_dropouts\.text=2 will not do"),
        ({"input_dropouts": {"text": float("nan")}}, r"input_dropouts\.text=nan will not do"),
    ],
)
def test_settings_of_single_modalities_have_bounds(toy, setting, what):
    with pytest.raises(ConfigError, match=rf"method mult: {what}[\s\S]*expected  {next(iter(setting))} \("):
        methods.build("mult", setting, toy.spec)
    longest = methods.build("mult", {**SMALL, "kernel_sizes": {"text": 1023}, "input_dropouts": {"text": 0}}, toy.spec)
    assert longest.projections["text"].convolution.kernel_size == (1023,)


def test_one_modality_and_heads_that_do_not_divide(toy):
    with pytest.raises(ConfigError, match="mult needs two modalities"):
        methods.build("mult", {}, toy.select("text").spec)
    with pytest.raises(ConfigError, match="a width of 9 cannot be shared by 4 heads"):
        methods.build("mult", {"hidden_size": 9}, toy.spec)


def test_presets_build(toy):
    mosi = methods.preset_for("mult", "mosi_mmsa")
    assert (mosi.config["hidden_size"], mosi.config["heads"], mosi.config["layers"], mosi.config["kernel_sizes"]["text"]) == (50, 10, 4, 5)
    assert (mosi.plan["batch_size"], mosi.plan["accumulate"], mosi.plan["clip_value"]) == (16, 8, 0.6)
    model = methods.build("mult", mosi.config, toy.spec).eval()
    assert model(toy["valid"].batch(torch.arange(2))).prediction.shape == (2,)
