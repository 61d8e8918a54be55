"""Images through pretrained vision models: what comes out is what the model says of a rightly prepared image; what cannot be loaded says why."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.data.batch import Modality, ModalitySpec
from workbench.encoders import PretrainedImage
from workbench.errors import ConfigError, DataError

transformers = pytest.importorskip("transformers")

MEAN, SPREAD = [0.5, 0.4, 0.3], [0.25, 0.2, 0.5]
"""Those of `tiny_vit`."""
POSTER = ModalitySpec("image", 3, shape=(3, 12, 8))
DIGIT = ModalitySpec("image", 1, shape=(1, 8, 8))


def images(spec, n=2):
    return Modality(torch.rand(n, *spec.shape, dtype=torch.float64), torch.ones(n, 1, dtype=torch.bool))


def model_of(folder, **settings):
    return transformers.AutoModel.from_pretrained(folder, **settings).double().eval()


@pytest.fixture
def vit(tiny_vit, tmp_path) -> Path:
    """A copy of the tiny ViT that may be changed."""
    return Path(shutil.copytree(tiny_vit, tmp_path / "vit"))


def tell(folder, **preprocessor):
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))


# What comes out


@pytest.mark.parametrize("is_frozen", [True, False])
def test_the_tokens_of_a_vit_are_those_of_the_normalised_image(tiny_vit, is_frozen):
    encoder, modality = PretrainedImage(POSTER, tiny_vit, is_frozen=is_frozen).double().eval(), images(POSTER)
    found = encoder(modality)
    prepared = (modality.values - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(SPREAD).view(3, 1, 1)
    # the plain attention of transformers rounds its weights to single precision
    attention = {} if is_frozen else {"attn_implementation": "eager"}
    expected = model_of(tiny_vit, **attention)(pixel_values=prepared).last_hidden_state
    torch.testing.assert_close(found.values, expected, atol=1e-10, rtol=0)
    assert (encoder.has_cls, encoder.size, found.values.shape) == (True, 16, (2, 7, 16))


@pytest.mark.parametrize("is_frozen", [True, False])
def test_the_cells_of_a_resnet_come_row_by_row(tiny_resnet, is_frozen):
    spec = ModalitySpec("image", 3, shape=(3, 32, 32))
    encoder, modality = PretrainedImage(spec, tiny_resnet, is_frozen=is_frozen).double().train(), images(spec)
    found = encoder(modality).values
    expected = model_of(tiny_resnet)(pixel_values=modality.values).last_hidden_state
    assert (encoder.has_cls, encoder.size, found.shape) == (False, 12, (2, 16, 12))
    for place in range(16):
        torch.testing.assert_close(found[:, place], expected[:, :, place // 4, place % 4], atol=1e-10, rtol=0)


def averaging(n, wanted):
    """Weights of bilinear resizing with antialiasing: a triangle as wide as the step between two pixels, the larger of both sizes."""
    scale = max(n / wanted, 1)
    centre = (np.arange(wanted)[:, None] + 0.5) * n / wanted
    weight = np.clip(1 - np.abs(np.arange(n) + 0.5 - centre) / scale, 0, None)
    return weight / weight.sum(1, keepdims=True)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 48, 40), (3, 5, 31)], ids=str)
def test_an_image_is_squeezed_to_the_model_s_size(tiny_vit, shape):
    spec = ModalitySpec("image", shape[0], shape=shape)
    encoder, modality = PretrainedImage(spec, tiny_vit, is_frozen=True).double(), images(spec)
    rows, columns = averaging(shape[1], 12), averaging(shape[2], 8)
    squeezed = np.einsum("ah,nchw,bw->ncab", rows, modality.values.numpy(), columns)
    expected = (squeezed - np.array(MEAN, np.float32)[:, None, None]) / np.array(SPREAD, np.float32)[:, None, None]
    assert expected.shape == (2, 3, 12, 8)
    np.testing.assert_allclose(encoder.prepared(modality.values).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}, [-1, 0, 1]),
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_normalize": False}, [0, 0.5, 1]),
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_rescale": True, "rescale_factor": 1 / 127.5}, [-1, 1, 3]),
        ({"do_rescale": False}, [0, 0.5, 1]),
        (None, [0, 0.5, 1]),
    ],
    ids=str,
)
def test_black_grey_and_white_as_the_file_says(vit, told, expected):
    (vit / "preprocessor_config.json").unlink()
    if told is not None:
        tell(vit, **told)
    encoder = PretrainedImage(DIGIT, str(vit), is_frozen=True).double()
    grey = torch.tensor([0, 0.5, 1], dtype=torch.float64)[:, None, None, None].expand(3, 1, 8, 8)
    found = encoder.prepared(grey)
    assert found.shape == (3, 3, 12, 8)
    torch.testing.assert_close(found.amin((1, 2, 3)), torch.tensor(expected, dtype=torch.float64), atol=1e-7, rtol=0)
    torch.testing.assert_close(found.amax((1, 2, 3)), torch.tensor(expected, dtype=torch.float64), atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"size": 48}, (48, 48)),
        ({"size": {"shortest_edge": 40}}, (40, 40)),
        ({"size": {"shortest_edge": 64}, "crop_size": 32}, (32, 32)),
        ({"size": {"height": 32, "width": 64}}, (32, 64)),
        ({"size": None}, (224, 224)),
        ({}, (224, 224)),
    ],
    ids=str,
)
def test_the_size_of_a_model_that_has_none_of_its_own(tiny_resnet, tmp_path, told, expected):
    folder = Path(shutil.copytree(tiny_resnet, tmp_path / "resnet"))
    tell(folder, **told)
    assert PretrainedImage(DIGIT, str(folder), is_frozen=True).wanted.shape == expected


def tiny(kind, **settings):
    """A model of another family, of width 16."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "image_size": 16, "patch_size": 8}
    torch.manual_seed(0)
    return getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**(settings or sizes)))


SWIN = {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4}
CONVNEXT = {"hidden_sizes": [8, 8, 8, 16], "depths": [1, 1, 1, 1], "image_size": 64}


@pytest.mark.parametrize(
    ("kind", "settings", "tokens", "has_cls", "still"),
    [
        ("Dinov2", {}, 5, True, ["mask_token"]),
        ("CLIPVision", {}, 5, True, ["post_layernorm.weight", "post_layernorm.bias"]),
        ("SiglipVision", {}, 4, False, ["head.probe"]),
        ("Swin", SWIN, 16, False, []),
        ("ConvNext", CONVNEXT, 4, False, ["layernorm.weight", "layernorm.bias"]),
    ],
)
def test_other_families(tmp_path, kind, settings, tokens, has_cls, still):
    transformers.utils.logging.disable_progress_bar()
    tiny(kind, **settings).save_pretrained(tmp_path)
    encoder = PretrainedImage(DIGIT, str(tmp_path), is_frozen=False)
    found = encoder(images(DIGIT, n=3))
    assert (found.values.shape, encoder.has_cls) == ((3, tokens, 16), has_cls)
    fixed = [name for name, p in encoder.named_parameters() if not p.requires_grad]
    assert all(any(name.endswith(end) for name in fixed) for end in still)
    assert bool(fixed) == bool(still)
    found.values.pow(3).sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.requires_grad and p.grad is None] == []


def test_of_a_model_for_images_and_text_the_part_for_images(tmp_path):
    transformers.utils.logging.disable_progress_bar()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text = {**sizes, "vocab_size": 30, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.CLIPConfig(text_config=text, vision_config={**sizes, "image_size": 16, "patch_size": 8}, projection_dim=8)
    torch.manual_seed(0)
    whole = transformers.CLIPModel(config).double().eval()
    whole.save_pretrained(tmp_path)
    encoder, modality = PretrainedImage(POSTER, str(tmp_path), is_frozen=True).double(), images(POSTER)
    expected = whole.vision_model(pixel_values=encoder.prepared(modality.values)).last_hidden_state
    torch.testing.assert_close(encoder(modality).values, expected, atol=1e-10, rtol=0)


# Frozen and fine-tuned


def test_a_frozen_model_has_no_gradient_and_no_dropout(tiny_vit):
    encoder, modality = PretrainedImage(POSTER, tiny_vit, is_frozen=True).train(), images(POSTER)
    found = encoder(modality).values
    assert found.grad_fn is None and not found.requires_grad
    assert [p for p in encoder.parameters() if p.requires_grad] == []
    assert not any(module.training for module in encoder.model.modules())
    assert torch.equal(found, encoder(modality).values)


def test_pixels_may_be_asked_for_their_gradient_through_a_frozen_model(tiny_vit):
    encoder, modality = PretrainedImage(POSTER, tiny_vit, is_frozen=True), images(POSTER)
    pixels = modality.values.requires_grad_()
    encoder(modality).values.pow(3).sum().backward()
    assert bool((pixels.grad.abs().sum((1, 2, 3)) > 0).all())


def test_a_fine_tuned_model_has_dropout_in_training_and_a_rate_of_its_own(tiny_vit):
    encoder, modality = PretrainedImage(POSTER, tiny_vit, is_frozen=False), images(POSTER)
    assert not torch.equal(encoder(modality).values, encoder(modality).values)
    assert torch.equal(encoder.eval()(modality).values, encoder(modality).values)
    assert encoder.model.is_pretrained
    assert [name for name, p in encoder.named_parameters() if not p.requires_grad] == ["model.pooler.dense.weight", "model.pooler.dense.bias"]


def test_without_gradients_a_fine_tuned_model_keeps_no_graph(tiny_vit):
    with torch.no_grad():
        assert not PretrainedImage(POSTER, tiny_vit, is_frozen=False)(images(POSTER)).values.requires_grad


def test_batch_norms_keep_their_statistics_and_learn_the_rest(tiny_resnet):
    encoder = PretrainedImage(POSTER, tiny_resnet, is_frozen=False).train()
    before = {name: value.clone() for name, value in encoder.named_buffers()}
    encoder(images(POSTER)).values.pow(2).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in encoder.named_buffers())
    norms = [module for module in encoder.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms and all(norm.weight.grad is not None for norm in norms)


def test_a_fine_tuned_vit_has_a_double_backward(tiny_vit):
    encoder = PretrainedImage(POSTER, tiny_vit, is_frozen=False).double().eval()
    weight = encoder.model.embeddings.patch_embeddings.projection.weight
    (first,) = torch.autograd.grad(encoder(images(POSTER)).values.pow(2).sum(), weight, create_graph=True)
    (second,) = torch.autograd.grad(first.pow(2).sum(), weight)
    assert second.isfinite().all() and second.abs().sum() > 0


def test_the_weights_are_single_precision_however_they_were_saved(vit):
    model_of(vit).half().save_pretrained(vit)
    encoder = PretrainedImage(POSTER, str(vit), is_frozen=True)
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}


# What cannot be done


@pytest.mark.parametrize("name", ["/no/such/folder", "./no-such-folder"])
def test_a_folder_that_is_not_there(name):
    with pytest.raises(ConfigError, match=rf'vision model "{name}" could not be loaded[\s\S]*model\.safetensors[\s\S]*PatchTransformer'):
        PretrainedImage(DIGIT, name, is_frozen=True)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ConfigError, match=r"could not be loaded[\s\S]*config\.json"):
        PretrainedImage(DIGIT, str(tmp_path), is_frozen=True)


def test_a_pickle_is_not_opened(vit, tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "opened",)

    (vit / "model.safetensors").unlink()
    torch.save({"trap": Trap()}, vit / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"could not be loaded[\s\S]*safetensors"):
        PretrainedImage(DIGIT, str(vit), is_frozen=True)
    assert not (tmp_path / "opened").exists()


def test_code_of_a_model_is_not_run(vit, tmp_path):
    config = json.loads((vit / "config.json").read_text())
    del config["model_type"]
    (vit / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}))
    (vit / "own.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'opened')!r}).touch()\nclass Own: ...")
    with pytest.raises(ConfigError, match="could not be loaded"):
        PretrainedImage(DIGIT, str(vit), is_frozen=True)
    assert not (tmp_path / "opened").exists()


def test_weights_that_are_cut_off(vit):
    file = vit / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ConfigError, match=r"could not be loaded"):
        PretrainedImage(DIGIT, str(vit), is_frozen=True)


@pytest.mark.parametrize("is_frozen", [True, False])
def test_weights_that_are_missing_are_no_random_ones(vit, is_frozen):
    from safetensors.torch import load_file, save_file

    weights = load_file(vit / "model.safetensors")
    without_pooler = {name: value for name, value in weights.items() if "pooler" not in name}
    assert len(without_pooler) == len(weights) - 2
    save_file(without_pooler, vit / "model.safetensors", metadata={"format": "pt"})
    PretrainedImage(DIGIT, str(vit), is_frozen=is_frozen)
    save_file({k: v for k, v in without_pooler.items() if k != "layernorm.weight"}, vit / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"cannot be used: its file has no weights for layernorm\.weight"):
        PretrainedImage(DIGIT, str(vit), is_frozen=is_frozen)


def test_a_model_for_text(tmp_path):
    transformers.utils.logging.disable_progress_bar()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.BertModel(transformers.BertConfig(vocab_size=20, **sizes)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"cannot be used: it reads input_ids, not images"):
        PretrainedImage(DIGIT, str(tmp_path), is_frozen=True)


@pytest.mark.parametrize(
    "told",
    [
        {"image_mean": [0.5, 0.5], "image_std": [0.5, 0.5]},
        {"image_mean": [0.5] * 3, "image_std": [0.5, 0.0, 0.5]},
        {"image_mean": "grey", "image_std": [0.5] * 3},
        {"image_mean": [0.5] * 3},
        {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": None},
    ],
    ids=str,
)
def test_a_preparation_that_makes_no_sense(vit, told):
    tell(vit, **told)
    with pytest.raises(ConfigError, match=r"cannot be used: its preprocessor_config\.json"):
        PretrainedImage(DIGIT, str(vit), is_frozen=True)


@pytest.mark.parametrize("size", [{"longest_edge": 32}, [1, 2, 3], "large", 0, -4], ids=str)
def test_a_size_that_makes_no_sense(tiny_resnet, tmp_path, size):
    folder = Path(shutil.copytree(tiny_resnet, tmp_path / "resnet"))
    tell(folder, size=size)
    with pytest.raises(ConfigError, match=r"cannot be used: its preprocessor_config\.json"):
        PretrainedImage(DIGIT, str(folder), is_frozen=True)


@pytest.mark.parametrize(("content", "error"), [("{", DataError), ("[1, 2]", ConfigError)])
def test_a_preparation_that_cannot_be_read(vit, content, error):
    (vit / "preprocessor_config.json").write_text(content)
    with pytest.raises(error, match=r"preprocessor_config\.json"):
        PretrainedImage(DIGIT, str(vit), is_frozen=True)


def test_other_channels_than_the_model_reads(tiny_vit):
    with pytest.raises(ConfigError, match=r"reads 3 channels, and the images have 2[\s\S]*1 or 3"):
        PretrainedImage(ModalitySpec("image", 2, shape=(2, 8, 8)), tiny_vit, is_frozen=True)


def test_no_image(tiny_vit):
    with pytest.raises(ConfigError, match=r"of kind vector[\s\S]*an image"):
        PretrainedImage(ModalitySpec("vector", 5), tiny_vit, is_frozen=True)


def test_the_extra_is_missing(tiny_vit, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r'needs the extra "text"[\s\S]*pip install'):
        PretrainedImage(DIGIT, tiny_vit, is_frozen=True)
