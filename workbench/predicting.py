"""What a finished run says of samples: of any card's, or of one's own, down to a single one.

predict_samples(run, {"text": "a fine film", "audio": frames})       # own arrays, as they were before the workbench touched them
predict_samples(run, load("mosi"), split="test")

They are treated as the run's own data was: standardised by the training split of the run (never by their own numbers), words by its vocabulary,
sentences through its language model, sequences aligned as its view had them; a modality that is missing is masked.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from workbench import methods
from workbench.data import read
from workbench.data.alignment_view import align_to
from workbench.data.batch import PADDING, UNKNOWN, Dataset, ModalitySpec, Spec, Split
from workbench.data.card import card as find_card
from workbench.data.samples import OWN, SENTENCE, absent, own_samples
from workbench.data.scaling import from_plain, with_scales, without_scales
from workbench.errors import ConfigError, DataError, near
from workbench.plan import Plan
from workbench.runs import Run
from workbench.text import load_tokenizer, tokenise
from workbench.training import predict


def predict_samples(run: Run, samples: Dataset | Mapping[str, Any], *, split: str | None = None, ids: Sequence[str] | None = None) -> pd.DataFrame:
    """What the run's model says of samples, one row each.

    Args:
        run: a finished run.
        samples: a data set (as `load` or `read` gives it, or `Dataset.from_arrays`), or arrays by modality (see `own_samples`) as they were on disk:
            not standardised.
        split: of a data set; None: test, where there is one, else valid.
        ids: only the samples of these names, in this order; None: all.

    Returns:
        `sample`, `prediction` (a number, the name of a class, or the names of the labels, joined by commas), `p(<class>)` for each class or label,
        and `target` where a data set of the same task brings it. `frame.attrs["notes"]`: sentences about what was missing or unknown.

    Raises:
        ConfigError: an unknown split, sample or modality; or the run does not know the scale of its training data.
        DataError: samples that are not of the kind and size that the model was trained on.
    """
    is_own = not isinstance(samples, Dataset)
    data = own_samples(run.spec, samples, sentences=_sentences(run)) if is_own else samples
    name = split or next(name for name in (OWN, "test", "valid", *data.splits) if name in data.splits)
    part = data[name] if ids is None else data[name].take([_row(data[name], one) for one in ids])
    data, notes = as_trained(run, replace(data, splits={name: part}, is_sealed=False))
    with torch.no_grad():
        said = predict(run.model(), data[name], Plan(**run.config["plan"])).prediction.float()
    same_task = not is_own and data.spec.task == run.spec.task
    frame = _table(said, data[name], run.spec, has_target=same_task)
    frame.attrs["notes"] = notes
    return frame


def _row(split: Split, name: str) -> int:
    if name not in split.ids:
        raise ConfigError(f'no sample of {split.name} is called "{name}".{near(name, split.ids)}', expected=f"{split.ids[0]}, ...")
    return split.ids.index(name)


def read_samples_file(path: Path) -> dict[str, Any]:
    """Own samples from a JSON file: `{"text": ["a fine film"], "audio": [[[0.1, 0.2], ...]]}`, modality name to samples, as for `own_samples`.

    Raises:
        DataError: no file, no JSON, or no object.
    """
    expected = '{"text": ["..."], "audio": [[[0.1, ...], ...]]}'
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"the samples cannot be read: {error}", where=str(path), expected=f"JSON: {expected}") from error
    if not isinstance(found, dict):
        raise DataError("the samples are no JSON object", where=str(path), expected=expected)
    return found


def card_samples(run: Run, card: str, *, root: str | Path | None = None, path: str | Path | None = None, **options: object) -> Dataset:
    """The samples of a card before standardising (arguments: `read`); of the run's own card with the run's options, where none are given."""
    used, notes = dict(run.config.get("notes", {}).get("options", {})), run.config.get("notes", {})
    name, _, preset = card.partition("/") if not card.endswith(".md") else (card, "", "")
    is_same = find_card(card).sha256 == notes.get("card_sha256") and preset in ("", used.get("preset", ""), notes.get("variant", ""))
    if is_same and not options:
        options, card = used, name if "preset" in used else card
        if "variant" in notes and not preset and not card.endswith(".md"):
            card = f"{name}/{notes['variant']}"
    return read(card, root=root, path=path, **options)[0]


def as_trained(run: Run, data: Dataset) -> tuple[Dataset, list[str]]:
    """The data as the run's model saw its own, and sentences about what is missing or unknown.

    Raises:
        ConfigError, DataError: see `predict_samples`.
    """
    wanted, notes = run.spec.modalities, []
    kept = [name for name in wanted if name in data.modalities]
    if not kept:
        raise DataError(f"{data.name} has none of the modalities of the run {run.id}", expected=f"one or more of {', '.join(wanted)}")
    data = _scaled(run, data.select(*kept))
    reference = run.config.get("notes", {}).get("view", {}).get("align_to")
    if reference and reference in data.modalities and data.notes.get("view", {}).get("align_to") != reference:
        data = align_to(data, reference)
    data = _completed(data, run)
    for name in wanted:
        if wanted[name].kind == "tokens" and name not in _sentences(run):
            data, said = _known_words(run, data, name)
            notes += said
        elif wanted[name].text_model and run.config["config"].get("text", "embedding") == "embedding":
            data = _model_tokens(data, name, wanted[name])
    data = methods.prepare(data, methods.method(run.config["method"]).Config(**run.config["config"]))
    for name, spec in wanted.items():
        _check_alike(name, data.spec.modalities[name], spec, data.name)
    data = replace(data, spec=Spec(dict(wanted), data.spec.task))
    for split in data.splits.values():
        for name, column in split.columns.items():
            lacking = int((~column.is_there).sum())
            if lacking:
                notes.append(f"{name} is missing in {lacking} of {len(split)} samples and masked")
    return data, notes


def _sentences(run: Run) -> set[str]:
    """The modalities that a pretrained language model reads."""
    found = {name for name, spec in run.spec.modalities.items() if spec.text_model}
    reads = run.config["config"].get("text", "embedding") != "embedding" and "text" in run.spec.modalities
    return found | ({"text"} if reads else set())


def _scaled(run: Run, data: Dataset) -> Dataset:
    """Standardised by the run's training split; what the data's own training split did to it is undone."""
    notes, own = run.config.get("notes", {}), data.notes
    named = [name for name in notes.get("standardised", ()) if name in data.modalities and name not in _sentences(run)]
    if named and "scales" not in notes:
        same = all(own.get(key) == notes.get(key) for key in ("card_sha256", "files", "standardised"))
        if same and not notes.get("view", {}).get("keep_groups"):
            return data
        raise ConfigError(
            f"the run {run.id} does not hold the mean and deviation of its training data: it was trained before runs kept them",
            where=str(run.path / "config.json"), expected=f"notes.scales with {', '.join(named)}",
            do=f"train again, or predict on its own card as load gives it: predict_samples(run, load(\"{run.config['dataset']}\"))",
        )  # fmt: skip
    wanted, has = notes.get("scales", {}), own.get("scales", {})
    undone = {name: scale for name, scale in has.items() if name in data.modalities and scale != wanted.get(name)}
    done = {name: scale for name, scale in wanted.items() if name in named and scale != has.get(name)}
    for name, scale in done.items():
        if data.spec.modalities[name].kind == "tokens" or data.spec.modalities[name].size != len(scale[0]):
            _check_alike(name, data.spec.modalities[name], run.spec.modalities[name], data.name)
    data = without_scales(data, from_plain(undone)) if undone else data
    return with_scales(data, from_plain(done)) if done else data


def _completed(data: Dataset, run: Run) -> Dataset:
    """All modalities of the run in its order; those that the data does not have are missing in every sample."""
    specs = {name: data.spec.modalities.get(name, SENTENCE if name in _sentences(run) else spec) for name, spec in run.spec.modalities.items()}
    splits = {}
    for key, split in data.splits.items():
        columns = {name: split.columns[name] if name in split.columns else absent(specs[name], len(split)) for name in specs}
        has_said = "text" in split.columns or "text" not in _sentences(run)
        splits[key] = replace(split, columns=columns, texts=split.texts if has_said else [""] * len(split))
    return replace(data, spec=Spec(specs, data.spec.task), splits=splits)


def _known_words(run: Run, data: Dataset, name: str) -> tuple[Dataset, list[str]]:
    """Token ids by the run's vocabulary; a word that it does not have becomes UNKNOWN, as in training.

    Raises:
        DataError: the data has ids and no words.
    """
    spec, theirs = run.spec.modalities[name], data.spec.modalities[name]
    left_out = set(run.config.get("notes", {}).get("left_out_words", {}).get(name, ()))
    if theirs.kind != "tokens" or (not theirs.vocabulary and theirs.size != spec.size):
        _check_alike(name, theirs, spec, data.name)
    if not theirs.vocabulary:
        return data.replace_modality(name, spec, {key: split.columns[name] for key, split in data.splits.items()}), []
    number = {word: i for i, word in enumerate(spec.vocabulary) if word not in left_out}
    # Ids 0 and 1 mean padding and unknown, whatever they are called.
    ids = [PADDING, UNKNOWN, *(number.get(word, UNKNOWN) for word in theirs.vocabulary[UNKNOWN + 1 :])]
    table, columns, notes = torch.tensor(ids), {}, []
    for key, split in data.splits.items():
        column = split.columns[name]
        values = table[column.values]
        columns[key] = replace(column, values=values, digest="", map=None)
        there = torch.ones(len(values), dtype=torch.bool) if column.present is None else column.present
        unknown = int(((values == UNKNOWN) & there).sum())
        if unknown and int(there.sum()):
            notes.append(f"{unknown} of {int(there.sum())} words of {name} are not in the run's vocabulary")
    return data.replace_modality(name, spec, columns), notes


def _model_tokens(data: Dataset, name: str, spec: ModalitySpec) -> Dataset:
    """Sentences as the ids of a pretrained model, where the run's data came as such ids.

    Raises:
        DataError: other ids, and no sentences.
    """
    if data.spec.modalities[name].text_model == spec.text_model:
        return data
    if not data.has_sentences:
        raise DataError(f"{data.name}: {name} is not of ids of {spec.text_model}, and there are no sentences", expected="sentences, or these ids")
    tokenizer = load_tokenizer(str(spec.text_model))
    columns = {key: tokenise(tokenizer, split.texts or []) for key, split in data.splits.items()}
    columns = {
        key: column if (lacks := ~data.splits[key].columns[name].is_there).sum() == 0
        else replace(column, present=~lacks.repeat_interleave(column.lengths)) for key, column in columns.items()
    }  # fmt: skip
    return data.replace_modality(name, spec, columns)


def _check_alike(name: str, given: ModalitySpec, wanted: ModalitySpec, owner: str) -> None:
    """The features are such as the model was trained on; how long they are does not matter.

    Raises:
        DataError: another kind, size or shape.
    """
    facts = [(spec.kind, spec.size, spec.shape) for spec in (given, wanted)]
    if facts[0] != facts[1]:
        said = [f"{kind} of {list(shape) if shape else size}" for kind, size, shape in facts]
        raise DataError(f"{owner}: {name} is {said[0]}, the run was trained on {said[1]}", expected=f"{name}: {said[1]}")


def _table(said: Tensor, split: Split, spec: Spec, *, has_target: bool) -> pd.DataFrame:
    """One row a sample (see `predict_samples`)."""
    said, target, task, frame = said.cpu(), split.target.cpu(), spec.task, pd.DataFrame({"sample": split.ids})
    if task.kind == "regression":
        frame["prediction"] = said.numpy()
        return frame.assign(target=target.numpy()) if has_target else frame
    chances = said.softmax(1) if task.kind == "multiclass" else said.sigmoid()
    chosen = chances == chances.amax(1, keepdim=True) if task.kind == "multiclass" else said > 0
    frame["prediction"] = _names(chosen if task.kind == "multilabel" else said.argmax(1), task.classes)
    for i, label in enumerate(task.classes):
        frame[f"p({label})"] = chances[:, i].numpy()
    return frame.assign(target=_names(target, task.classes)) if has_target else frame


def _names(labels: Tensor, classes: tuple[str, ...]) -> list[str]:
    """Class numbers, or rows of what holds, as names."""
    if labels.dim() == 1:
        return [classes[i] for i in labels.tolist()]
    return [", ".join(label for label, holds in zip(classes, row, strict=True) if holds) for row in labels.tolist()]
