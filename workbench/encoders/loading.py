"""Pretrained models by `transformers`: quietly, without a hub's code, and with errors for people."""

from torch import nn

from workbench.errors import ConfigError


def load_pretrained(path: str, *, called: str, expected: str, do: str, **settings: object) -> tuple[nn.Module, set[str]]:
    """A model by `transformers.AutoModel`, and the names of its weights that its file does not have (they are random).

    Args:
        path: a local folder or a Hugging Face name.
        called: how an error names the model.
        expected, do: the rest of that error.
        settings: passed on, e.g. `attn_implementation`.

    Raises:
        ConfigError: it cannot be loaded.
    """
    from safetensors import SafetensorError
    from transformers import AutoModel
    from transformers.utils import logging

    # Loading a local file takes a moment; its bar would break into ours, and so would a report of the weights that are left over.
    logging.disable_progress_bar()
    loudness = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        model, told = AutoModel.from_pretrained(path, trust_remote_code=False, output_loading_info=True, **settings)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise cannot_load(called, error, expected=expected, do=do) from error
    finally:
        logging.set_verbosity(loudness)
    return model, set(told["missing_keys"])


def cannot_load(called: str, error: Exception, *, expected: str, do: str) -> ConfigError:
    """The error for a model, or a part of it, that cannot be loaded."""
    lines = str(error).splitlines() or [type(error).__name__]
    return ConfigError(f"{called} could not be loaded: {lines[0]}", expected=expected, do=do)
