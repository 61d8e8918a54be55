"""Images through a pretrained vision model: its tokens, or the cells of its feature map."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from workbench.data.batch import Modality, ModalitySpec
from workbench.data.untrusted.documents import read_json
from workbench.encoders.images import needs_image, there
from workbench.encoders.loading import load_pretrained
from workbench.errors import ConfigError
from workbench.sequences import Steps

SIDE = 224
"""Height and width of the images of a model that does not say its own [pixels]."""

CLS = ("cls_token", "class_embedding")
"""What the [CLS] token is called in vision models."""


class PretrainedImage(nn.Module):
    """A pretrained vision model's tokens (as of a ViT) or feature-map cells (as of a ResNet): `batch token feature`.

    Images are numbers in 0 to 1 (what the readers of this package give). They are squeezed to the size that the model wants (bilinear, with
    antialiasing), one channel is repeated, and they are normalised as the model's `preprocessor_config.json` says, where there is one.

    Decides: what the tokens do not depend on (a pooler, a mask token) stands still; so do the statistics of batch norms, fine-tuned too: an image's
    answer never depends on its batch. Fine-tuned, attention takes the plain path, which has a double backward, as fine-tuned text does.

    Args:
        spec: an image, of as many channels as the model reads, or of one.
        model: a local folder or a Hugging Face name; its weights must be safetensors, and code from a hub is never run.
        is_frozen: the model is read as it is, without dropout and without a gradient; else it is trained on, at the plan's slower rate
            (`text_learning_rate`).

    Attributes:
        has_cls: the first token is the model's [CLS].
        size: width of a token.

    Raises:
        ConfigError: the modality is no image or has other channels; the model cannot be loaded or reads no images; the extra `text` is missing.
    """

    def __init__(self, spec: ModalitySpec, model: str, *, is_frozen: bool) -> None:
        super().__init__()
        needs_image(spec)
        self.model, missing = load_vision_model(model, is_frozen=is_frozen)
        self.is_frozen = is_frozen
        self.wanted = preparation(model, self.model.config)
        if spec.size not in (1, self.wanted.channels):
            what = f'the vision model "{model}" reads {self.wanted.channels} channels, and the images have {spec.size}'
            raise ConfigError(what, expected=" or ".join(str(count) for count in sorted({1, self.wanted.channels})))
        self.register_buffer("mean", torch.tensor(self.wanted.mean, dtype=torch.float32)[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor(self.wanted.spread, dtype=torch.float32)[:, None, None], persistent=False)
        self.has_cls = any(name.endswith(CLS) for name, _ in self.model.named_parameters())
        self.size, used = self._tried()
        if missing & used:
            raise _unreadable(model, f"its file has no weights for {', '.join(sorted(missing & used)[:4])}")
        for name, p in self.model.named_parameters():
            p.requires_grad_(not is_frozen and name in used)
        self.train()

    def train(self, mode: bool = True) -> "PretrainedImage":
        """Training mode for the dropout of a model that is trained on; batch norms keep their statistics, and a frozen model stays as it is."""
        super().train(mode)
        for module in self.model.modules():
            if self.is_frozen or isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.training = False
        return self

    def forward(self, modality: Modality) -> Steps:
        tokens = self._tokens(self.prepared(there(modality)))
        mask = modality.mask.expand(-1, tokens.shape[1])
        return Steps(tokens * mask[:, :, None], mask)

    def prepared(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channels rows columns"]:
        """The images as the model wants them."""
        images = functional.interpolate(images.to(self.mean.dtype), self.wanted.shape, mode="bilinear", antialias=True, align_corners=False)
        return (images.expand(-1, len(self.mean), -1, -1) * self.wanted.factor - self.mean) / self.spread

    def _tokens(self, images: Float[Tensor, "batch channels rows columns"]) -> Float[Tensor, "batch token size"]:
        """What the model says of each token or cell, row by row."""
        states = self.model(pixel_values=images).last_hidden_state
        return states.flatten(2).transpose(1, 2) if states.dim() == 4 else states

    def _tried(self) -> tuple[int, set[str]]:
        """The width of a token, and the names of the parameters that tokens depend on, found out with an empty image."""
        named = dict(self.model.eval().named_parameters())
        with torch.enable_grad():
            tokens = self._tokens(torch.zeros(1, self.wanted.channels, *self.wanted.shape, dtype=torch.float32))
            gradients = torch.autograd.grad(tokens.sum(), list(named.values()), allow_unused=True)
        return tokens.shape[-1], {name for name, gradient in zip(named, gradients, strict=True) if gradient is not None}


@dataclass(frozen=True)
class Preparation:
    """How a vision model wants its images.

    Args:
        shape: height and width [pixels].
        channels: 3 as a rule.
        factor: what numbers in 0 to 1 are multiplied by.
        mean, spread: of each channel, taken off and divided by after that.
    """

    shape: tuple[int, int]
    channels: int
    factor: float
    mean: tuple[float, ...]
    spread: tuple[float, ...]


def load_vision_model(name: str, *, is_frozen: bool) -> tuple[nn.Module, set[str]]:
    """The pretrained model (of one that reads images and text, the part that reads images), and the names of weights that its file lacks.

    Raises:
        ConfigError: the extra `text` (transformers) is not installed; there is no such model; it reads no images.
    """
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise ConfigError(f'the vision model "{name}" needs the extra "text" (transformers)', do="pip install 'workbench-fusion[text]'") from error
    # What is only read takes the fastest attention that there is.
    settings = {} if is_frozen else {"attn_implementation": "eager"}
    model, missing = load_pretrained(name, use_safetensors=True, dtype=torch.float32, **settings, **_for_people(name))
    part = "vision_model."
    if hasattr(model, "vision_model"):
        model, missing = model.vision_model, {key.removeprefix(part) for key in missing if key.startswith(part)}
    if getattr(model, "main_input_name", "pixel_values") != "pixel_values":
        raise _unreadable(name, f"it reads {model.main_input_name}, not images")
    # The optimizer gives pretrained parameters a rate of their own.
    model.is_pretrained = True
    return model, missing


def preparation(name: str, config: Any) -> Preparation:
    """How a model wants its images, by its config.json and, where there is one, its preprocessor_config.json."""
    from transformers.utils import cached_file

    missing_is_none = {f"_raise_exceptions_for_{what}": False for what in ("missing_entries", "connection_errors", "gated_repo")}
    path = cached_file(name, "preprocessor_config.json", **missing_is_none)
    told = read_json(Path(path)) if path else {"do_normalize": False}
    channels = int(getattr(config, "num_channels", 3))
    try:
        is_normalised = told.get("do_normalize", True) and "image_mean" in told
        factor = 255 * float(told.get("rescale_factor", 1 / 255)) if told.get("do_rescale", True) else 1.0
        mean, spread = (told[key] if is_normalised else [number] * channels for key, number in (("image_mean", 0.0), ("image_std", 1.0)))
        sizes = (getattr(config, "image_size", None), told.get("crop_size"), told.get("size"), SIDE)
        shape = _shape(next(size for size in sizes if size is not None))
        found = Preparation(shape, channels, factor, tuple(map(float, mean)), tuple(map(float, spread)))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise _unreadable(name, f"its preprocessor_config.json: {type(error).__name__} {error}") from error
    if min(shape) < 1:
        raise _unreadable(name, f"its preprocessor_config.json has images of {shape[0]} x {shape[1]}")
    if not len(found.mean) == len(found.spread) == channels or min(found.spread) <= 0:
        raise _unreadable(name, f"its preprocessor_config.json has image_mean {found.mean} and image_std {found.spread} for {channels} channels")
    return found


def _shape(size: Any) -> tuple[int, int]:
    """Height and width, of a number, of two, or of names as in preprocessor_config.json."""
    if isinstance(size, dict):
        size = [size["height"], size["width"]] if "height" in size else size["shortest_edge"]
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return int(height), int(width)


def _for_people(name: str) -> dict[str, str]:
    """What an error says of a vision model."""
    return {
        "called": f'the vision model "{name}"',
        "expected": "a local folder with config.json and model.safetensors, or a Hugging Face name that is in the local cache",
        "do": "check the folder, or use an encoder that is trained from scratch (PatchTransformer)",
    }


def _unreadable(name: str, why: str) -> ConfigError:
    told = _for_people(name)
    return ConfigError(f"{told['called']} cannot be used: {why}", expected="a model that reads images, with all its weights", do=told["do"])
