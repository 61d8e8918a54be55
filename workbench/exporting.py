"""A finished run as a folder to give away.

exports/<run>/config.json         what it is and how it was trained, with vocabulary and scales of its training data
              metrics.json        its scores
              model.safetensors   its weights
              <card>.md           the card of its data, where there is one
              README.md           the model card
              model.pt2           a program of torch.export (see `workbench.programs`), where the method allows it
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench import methods
from workbench.data.card import DataCard
from workbench.data.card import card as find_card
from workbench.data.scaling import from_plain
from workbench.errors import ConfigError, WorkbenchError
from workbench.programs import Program, write_program
from workbench.runs import Run
from workbench.storage import cannot_write

KEPT = ("config.json", "metrics.json", "model.safetensors")
"""What is needed to predict."""

SENTENCE = "a sentence; the pretrained language model reads it"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        path: the folder.
        files: its files.
        bytes: their size.
        program: what became of the program, in words.
        difference: largest difference of the program's numbers from the model's; None where there is no program.
    """

    path: Path
    files: list[str]
    bytes: int
    program: str
    difference: float | None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "path": str(self.path)}


def export(run: Run, folder: str | Path, *, card: str | Path | None = None, has_program: bool = True) -> Exported:
    """Writes the folder, whole or not at all.

    Args:
        run: a finished run.
        folder: is made; must not be there yet.
        card: name or path of the data's card; None: looked for by the name that the run has noted.
        has_program: also as a program of `torch.export`.

    Raises:
        ConfigError: the folder is there.
        StorageError: it cannot be written.
        WorkbenchError: the run is damaged.
    """
    folder = Path(folder)
    if folder.exists():
        raise ConfigError(f"{folder} is there already", expected="a folder that is not there yet", do="delete it, or choose another with --out")
    found, model = _card_of(run, card), run.model()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
            part = Path(made) / "export"
            part.mkdir()
            (part / "config.json").write_text(json.dumps(_config(run), indent=1))
            for name in KEPT[1:]:
                shutil.copyfile(run.path / name, part / name)
            if found is not None:
                shutil.copyfile(found.path, part / found.path.name)
            program = Program(None, "", 0.0, "no model.pt2: it was not asked for")
            if has_program:
                program = write_program(model, run.spec, part / "model.pt2", scales=_scales(run))
            (part / "README.md").write_text("\n".join(_model_card(run, found, program)) + "\n")
            os.rename(part, folder)
    except OSError as error:
        raise cannot_write(folder, error, saving=f"the export of {run.id}", elsewhere="choose another folder with --out FOLDER") from error
    files = sorted(path.name for path in folder.iterdir())
    size = sum(path.stat().st_size for path in folder.iterdir())
    return Exported(folder, files, size, program.sentence, program.difference if program.path else None)


def load_exported(folder: str | Path) -> Run:
    """The run in an exported folder, or in a run's own: for `Run.model` and `predict_samples`; an exported one has no trace.

    Raises:
        WorkbenchError: the folder is neither.
    """
    folder = Path(folder)
    if (folder / "trace.nc").is_file():
        return Run.load(folder)
    missing = [name for name in KEPT if not (folder / name).is_file()]
    if missing:
        raise WorkbenchError(
            f"{folder} is neither a finished run nor an exported one", where=str(folder),
            expected=f"the files {', '.join(KEPT)}; missing: {', '.join(missing)}", do="workbench export RUN makes one",
        )  # fmt: skip
    try:
        return Run(folder, *(json.loads((folder / name).read_text()) for name in KEPT[:2]))
    except ValueError as error:
        raise WorkbenchError(f"a file of the export is not JSON: {error}", where=str(folder), do="export the run again") from error


def _config(run: Run) -> dict[str, Any]:
    """The run's config without folders of this machine."""
    notes = {key: value for key, value in run.config.get("notes", {}).items() if key != "converted"}
    return {**run.config, "notes": notes, "exported": {"run": run.id}}


def _scales(run: Run) -> dict[str, Any]:
    """The scales of what the model takes as numbers."""
    saved = run.config.get("notes", {}).get("scales", {})
    spec = run.spec.modalities
    return from_plain({name: scale for name, scale in saved.items() if name in spec and spec[name].kind != "tokens" and not _is_read(run, name)})


def _is_read(run: Run, name: str) -> bool:
    """True where a pretrained language model stands before the modality."""
    return bool(run.spec.modalities[name].text_model) or (name == "text" and run.config["config"].get("text", "embedding") != "embedding")


def _card_of(run: Run, card: str | Path | None) -> DataCard | None:
    """The card of the run's data; None where none was noted or it is not here."""
    noted = run.config.get("notes", {}).get("card")
    if card is None and noted is None:
        return None
    try:
        return find_card(str(card or noted))
    except WorkbenchError:
        if card is not None:
            raise
        return None


def _model_card(run: Run, card: DataCard | None, program: Program) -> Iterator[str]:
    """The lines of README.md: everything in it is taken from the run, its method and its card."""
    config, notes = run.config, run.config.get("notes", {})
    method = methods.method(config["method"])
    yield f"# {run.variant} on {config['dataset']}"
    yield f"\nA model that fuses {', '.join(run.spec.modalities)} into {_task(run)}."
    yield f"Exported from the run `{run.id}` of workbench {_made(run, 'workbench')}."
    yield "\n## What it is\n"
    yield f"- Method: `{config['method']}` ({method.family.replace('_', '-')}): {methods.reference(config['method'])}"
    yield f"- Balancing rule: {config['balance'] or 'none'}; settings: {config.get('preset') or 'the defaults'}, and those in config.json"
    yield f"- Parameters: {run.metrics['parameters']:,}"
    yield f"- Trained {run.metrics['epochs']} epochs; the best by valid loss was {run.metrics['best_epoch']}"
    yield "- Takes:\n"
    yield "| modality | kind | what to give |"
    yield "|---|---|---|"
    for name in run.spec.modalities:
        yield f"| {name} | {run.spec.modalities[name].kind} | {_give(run, name)} |"
    yield "\nA modality that a sample lacks may be left out: it is masked."
    yield "\n## Data\n"
    counts = ", ".join(f"{split} {count:,}" for split, count in config["counts"].items())
    yield f"- `{config['dataset']}`, {counts} samples; fingerprint `{config['fingerprint']}`"
    if card is None:
        yield "- No data card: it was trained on arrays, or the card is not where it was exported"
    else:
        changed = "" if card.sha256 == notes.get("card_sha256") else " (this copy of the card is not the one it was trained with)"
        yield f"- {card.title}: [{card.path.name}]({card.path.name}){changed}"
        yield f"- Licence of the data: {card.licence}"
        yield f"- Cite: {card.citation}"
    if notes.get("view"):
        yield f"- Changed before training: {json.dumps(notes['view'])}"
    yield "\n## Intended use\n"
    yield f"Research on multimodal fusion, on samples made as those of `{config['dataset']}` were, with the same features."
    yield "Not for decisions about people."
    yield "\n## Scores\n"
    yield from _scores(run)
    yield "\n## Limits\n"
    yield "- One training with one seed: how far another seed's scores lie from these is not known from it."
    yield "- Other features, another language, other recordings or other people than in the data were not tried."
    words = [f"{name} {len(spec.vocabulary):,}" for name, spec in run.spec.modalities.items() if spec.vocabulary]
    if words:
        yield f"- Words outside its vocabulary ({', '.join(words)} words) are all one unknown word to it."
    lacking = [name for name in notes.get("standardised", ()) if name not in notes.get("scales", {})]
    if lacking:
        yield f"- The scale of its training data was not kept ({', '.join(lacking)}): it takes values that are standardised already."
    for trap in notes.get("traps", ()):
        yield f"- {trap}"
    yield "\n## Use\n"
    yield "```python\nfrom workbench.exporting import load_exported\nfrom workbench.predicting import predict_samples\n"
    yield f"predict_samples(load_exported({json.dumps(run.id)}), {{{_arguments(run)}}})\n```"
    yield f"\nOr: `workbench predict {run.id} my_samples.json`; `load_exported(...).model()` is the torch module."
    yield f"\nWithout the workbench: {program.sentence}."
    if program.path:
        yield '\n```python\nimport torch\n\nprogram = torch.export.load("model.pt2").module()'
        yield "said = program(values, masks)  # two dicts by modality\n```"
        yield f"\n{_program_takes(run)}"
    yield f"\n## Made with\n\n{', '.join(f'{name} {_made(run, name)}' for name in ('workbench', 'python', 'torch', 'numpy'))}; {_made(run, 'device')}"


def _made(run: Run, name: str) -> str:
    return str(run.config.get("environment", {}).get(name, "?"))


def _task(run: Run) -> str:
    task = run.spec.task
    if task.kind == "regression":
        return f"a number ({task.low:g} to {task.high:g})"
    return f"{'one' if task.kind == 'multiclass' else 'any'} of {', '.join(task.classes)}"


def _give(run: Run, name: str) -> str:
    """What a user who predicts one sample gives."""
    spec, notes = run.spec.modalities[name], run.config.get("notes", {})
    if _is_read(run, name):
        return SENTENCE
    if spec.kind == "tokens":
        return f"a sentence; its words, in lower case, by a vocabulary of {len(spec.vocabulary):,}" if spec.vocabulary else "token ids"
    shape = {"vector": f"{spec.size} numbers", "sequence": f"time x {spec.size} numbers", "image": " x ".join(map(str, spec.shape))}[spec.kind]
    rate = f", {spec.rate:g} steps a second" if spec.rate else ""
    is_scaled = name in notes.get("standardised", ())
    scaled = "" if not is_scaled else " as on disk: they are standardised inside" if name in notes.get("scales", {}) else ", standardised already"
    aligned = notes.get("view", {}).get("align_to")
    return f"{shape}{rate}{scaled}{f'; averaged over the steps of {aligned}' if aligned and aligned != name and spec.kind == 'sequence' else ''}"


def _arguments(run: Run) -> str:
    """The dict of one sample in the example."""
    said = {name: '"a sentence"' if spec.kind == "tokens" or _is_read(run, name) else name for name, spec in run.spec.modalities.items()}
    return ", ".join(f'"{name}": {value}' for name, value in said.items())


def _scores(run: Run) -> Iterator[str]:
    """A table of every metric on valid and test, with the number of samples."""
    splits = [split for split in ("valid", "test") if split in run.metrics]
    counts = run.config["counts"]
    yield f"| metric | {' | '.join(f'{split} (n = {counts[split]:,})' for split in splits)} |"
    yield f"|---|{'---|' * len(splits)}"
    headline = run.config["headline"]
    for metric in sorted(run.metrics[splits[0]], key=lambda name: (name != headline, name)):
        cells = [run.metrics[split].get(metric) for split in splits]
        name = f"**{metric}**" if metric == headline else metric
        yield f"| {name} | {' | '.join('-' if value is None else f'{value:.4f}' for value in cells)} |"
    yield "\nThe epoch was chosen on valid; test was scored once, after training."


def _program_takes(run: Run) -> str:
    """What the tensors of the program are."""
    lines = []
    for name, spec in run.spec.modalities.items():
        read = " (hidden states of the language model)" if _is_read(run, name) and spec.kind == "sequence" else ""
        form = {"tokens": "int64, batch x time", "image": f"float32, batch x {' x '.join(map(str, spec.shape))}"}
        time = "1" if spec.kind == "vector" else "time"
        steps = f", length {spec.length}" if spec.kind in ("tokens", "sequence") else ""
        lines.append(f"- `{name}`: {form.get(spec.kind, f'float32, batch x {time} x {spec.size}')}{read}{steps}")
    masks = "Masks are bool, batch x time (batch x 1 for vectors and images), True where a step is there; all False where a modality is missing."
    gives = {"regression": "the number", "multiclass": "before the softmax", "multilabel": "before the sigmoid"}
    return "\n".join([*lines, "", masks, f"The output is {gives[run.spec.task.kind]}."])
