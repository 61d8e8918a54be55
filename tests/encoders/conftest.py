"""Small vision models in local folders, made once, and the four encoders that MLDFA names."""

import json
from pathlib import Path

import pytest
import torch

from workbench.data.batch import ModalitySpec
from workbench.encoders import ConvLSTMSteps, PatchTransformer, PretrainedImage, StepTransformer

MEAN, SPREAD = [0.5, 0.4, 0.3], [0.25, 0.2, 0.5]

SPECS = {
    "sequence": ModalitySpec("sequence", 5, 7),
    "tokens": ModalitySpec("tokens", 20, 7),
    "vector": ModalitySpec("vector", 5),
    "image": ModalitySpec("image", 3, shape=(3, 6, 5)),
}


def save(model, folder: Path, **preprocessor) -> str:
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.save_pretrained(folder)
    if preprocessor:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return str(folder)


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory) -> str:
    """A ViT of width 16 for images of 12 x 8, patches of 4 x 4: a [CLS] and six tokens; it has a mean and a spread for each channel."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTConfig(image_size=(12, 8), patch_size=4, hidden_dropout_prob=0.3, **sizes)
    return save(transformers.ViTModel(config), tmp_path_factory.mktemp("vit"), image_mean=MEAN, image_std=SPREAD, do_normalize=True)


@pytest.fixture(scope="session")
def tiny_resnet(tmp_path_factory) -> str:
    """A ResNet of width 12 whose preprocessor_config.json alone says the size of its images, 32 x 32: a map of 4 x 4 cells."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    model = transformers.ResNetModel(config)
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):  # other statistics than a batch's own, and hardly a cell that ReLU takes away
            buffer.uniform_(-0.5, 0) if name.endswith("mean") else buffer.uniform_(0.5, 1.5)
    return save(model, tmp_path_factory.mktemp("resnet"), crop_size={"height": 32, "width": 32}, do_normalize=False)


@pytest.fixture
def make(tiny_vit, tiny_resnet):
    """An encoder by name for a kind of modality, in double precision, evaluated; widths are small and odd where they may be."""

    def made(name, kind, **settings):
        torch.manual_seed(0)
        spec = SPECS[kind]
        build = {
            "steps": lambda: StepTransformer(spec, **{"hidden_size": 6, "layers": 2, "heads": 2, "embedding_size": 4} | settings),
            "frames": lambda: ConvLSTMSteps(spec, **{"hidden_size": 5, "kernel_size": 3, "embedding_size": 4} | settings),
            "patches": lambda: PatchTransformer(spec, **{"hidden_size": 6, "layers": 2, "heads": 2, "patch_size": 2} | settings),
            "vit": lambda: PretrainedImage(spec, tiny_vit, **{"is_frozen": False} | settings),
            "resnet": lambda: PretrainedImage(spec, tiny_resnet, **{"is_frozen": False} | settings),
        }
        return build[name]().double().eval()

    return made
