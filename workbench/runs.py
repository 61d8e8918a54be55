"""One folder per run: what was asked, what happened, and the model.

    runs/<id>/config.json         method, data, seed, every value, versions, device, git revision
              metrics.json        scores of the best epoch on valid, and on test
              trace.nc            xarray DataTree: history, steps, probes, rule, taps, predictions/valid, predictions/test
              model.safetensors   the weights of the best epoch

While a training runs, its folder is `runs/.<id>.part/` (with `state.pt`, the checkpoint); it is renamed when whole, so a reader never sees half a
run.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import pandas as pd
import xarray as xr

from workbench.data.batch import Dataset, Spec
from workbench.data.native import read_spec
from workbench.errors import StorageError, TrainingError, WorkbenchError
from workbench.model import FusionModel
from workbench.storage import cannot_write, measured

FILES = ("config.json", "metrics.json", "trace.nc", "model.safetensors")

FACTS = {"config.json": {"method", "dataset", "balance", "variant", "plan"}, "metrics.json": {"best_epoch", "seconds"}}
"""What every table of runs reads of them."""

ELSEWHERE = "choose another folder with --runs FOLDER"
"""What to do where a run cannot be written."""


@dataclass(frozen=True)
class Run:
    """A finished run on disk.

    Args:
        path: its folder.
        config: config.json.
        metrics: metrics.json: {"valid": {...}, "test": {...}, "best_epoch": ..., ...}.
    """

    path: Path
    config: dict[str, Any]
    metrics: dict[str, Any]

    @classmethod
    def load(cls, path: str | Path) -> "Run":
        """The run in a folder.

        Raises:
            WorkbenchError: the folder is not a whole run.
        """
        path = Path(path)
        missing = [name for name in FILES if not (path / name).is_file()]
        if missing:
            raise WorkbenchError(
                f"{path} is not a finished run", where=str(path), expected=f"the files {', '.join(FILES)}; missing: {', '.join(missing)}",
                do="workbench compare --runs FOLDER lists finished runs",
            )  # fmt: skip
        try:
            return cls(path, json.loads((path / "config.json").read_text()), json.loads((path / "metrics.json").read_text()))
        except (OSError, ValueError) as error:
            raise WorkbenchError(f"a file of the run is not JSON: {error}", where=str(path), do="delete the folder and train again") from error

    def check(self) -> None:
        """Looks whether each file is whole, at the cost of its header: cut-off and foreign files are found, a changed number inside is not.

        Raises:
            WorkbenchError: a file is damaged.
        """
        import h5py
        from safetensors import SafetensorError, safe_open

        for name, facts in (("config.json", self.config), ("metrics.json", self.metrics)):
            lacking = FACTS[name].difference(facts) if isinstance(facts, dict) else FACTS[name]
            if lacking:
                raise damaged(self.path / name, f"it lacks {', '.join(sorted(lacking))}")
        for name, whole in (("trace.nc", h5py.File), ("model.safetensors", lambda path: safe_open(path, framework="pt"))):
            try:
                with whole(self.path / name):
                    pass
            except (OSError, SafetensorError) as error:
                raise damaged(self.path / name, str(error)) from error

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def variant(self) -> str:
        """Method, rule and what else tells it apart in a table, e.g. `lf_dnn + b_fusion`."""
        return self.config["variant"]

    @property
    def seed(self) -> int:
        """The seed of the plan."""
        return self.config["plan"]["seed"]

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the numbers but the seed, flat: `plan.epochs`, `config.hidden_size`, `data.names`, ..."""
        plan = {key: value for key, value in self.config["plan"].items() if key not in ("seed", "device")}
        data = self._data_settings()
        groups = {"config": self.config.get("config", {}), "balance": self.config.get("balance_config", {}), "plan": plan, "data": data}
        if "start" in self.config:
            groups["start"] = {key: self.config["start"][key] for key in ("settings", "stages")}
        if "changes" in self.config:
            groups["changed"] = {f"{number}.{key}": value for number, change in enumerate(self.config["changes"]) for key, value in change.items()}
        flat = {f"{group}.{key}": value for group, values in groups.items() for key, value in values.items()}
        return {**flat, "method": self.config["method"], "rule": self.config["balance"], "modalities": self.config.get("modalities")}

    def _data_settings(self) -> dict[str, Any]:
        """What says which data it was: the dials of simulated data, which is drawn anew for each seed; a card with options and view; else the sum."""
        notes = self.config.get("notes", {})
        view = {key: value for key, value in notes.get("view", {}).items() if key != "view_seed"}
        if isinstance(notes.get("dials"), dict):
            return {**notes["dials"], **view}
        if view and "card_sha256" in notes:
            files = hashlib.sha256(json.dumps(notes.get("files", {}), sort_keys=True).encode()).hexdigest()[:8]
            return {"card": notes["card_sha256"][:8], "files": files, **notes.get("options", {}), **view}
        return {"fingerprint": self.config.get("fingerprint")}

    @property
    def settings_key(self) -> str:
        """Eight characters that are equal for runs that differ in their seed only."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True, default=str).encode()).hexdigest()[:8]

    @cached_property
    def trace(self) -> xr.DataTree:
        """Everything that was traced, read into memory.

        Raises:
            WorkbenchError: the file is damaged.
        """
        try:
            with xr.open_datatree(self.path / "trace.nc", engine="h5netcdf") as tree:
                return tree.load()
        except OSError as error:
            raise damaged(self.path / "trace.nc", str(error)) from error

    @property
    def spec(self) -> Spec:
        """Modalities and task of the data it was trained on."""
        return read_spec(self.config["spec"])

    def draw(self, data: Dataset | Mapping[int, Dataset]) -> Dataset:
        """The data of this run: its seed's, where each seed had its own draw."""
        return data if isinstance(data, Dataset) else data[self.seed]

    def prepared(self, data: Dataset | Mapping[int, Dataset]) -> Dataset:
        """The data (its seed's, where each seed had its own draw) as this run's model saw it: its modalities, its form of the text."""
        from workbench import methods

        config = methods.method(self.config["method"]).Config(**self.config["config"])
        return methods.prepare(self.draw(data).select(*self.config["modalities"]), config)

    def model(self) -> FusionModel:
        """The trained model, rebuilt from config.json and model.safetensors, in evaluation mode on the CPU.

        Raises:
            WorkbenchError: the weights are damaged, or not those of this model.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        model = self.model_like(seed=self.seed)
        try:
            model.load_state_dict(load_file(self.path / "model.safetensors"))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise damaged(self.path / "model.safetensors", str(error)) from error
        return model.eval()

    def model_like(self, *, seed: int) -> FusionModel:
        """A model of the same make, not trained: its first weights depend on the seed."""
        from workbench import balance, methods

        model = methods.build(self.config["method"], self.config["config"], self.spec, seed=seed)
        balance.attach(model, self.config["balance"], self.config["balance_config"], self.spec, seed=seed)
        return model


def table(folder: str | Path = "runs") -> pd.DataFrame:
    """One row per finished run of a folder (see `as_table`); empty where there are none."""
    return as_table(load_all(folder))


def as_table(runs: Iterable[Run]) -> pd.DataFrame:
    """One row per run: id, method, data, rule, key of its settings, seed, best epoch, seconds, scores on valid and test."""
    rows = []
    for run in runs:
        scores = {f"{split}_{metric}": value for split in ("valid", "test") for metric, value in run.metrics.get(split, {}).items()}
        facts = {key: run.config[key] for key in ("method", "dataset", "balance", "variant")}
        rows.append(
            {
                "id": run.id,
                **facts,
                "settings": run.settings_key,
                "seed": run.seed,
                "best_epoch": run.metrics["best_epoch"],
                "seconds": run.metrics["seconds"],
                **scores,
            }
        )
    return pd.DataFrame(rows)


def load_all(folder: str | Path = "runs") -> list[Run]:
    """All finished runs of a folder, by name; unfinished and foreign folders are passed over, damaged runs are skipped and named in the log."""
    runs, skipped = load_whole(folder)
    for sentence in skipped.values():
        logging.getLogger("workbench").warning(sentence)
    return runs


def load_whole(folder: str | Path = "runs") -> tuple[list[Run], dict[str, str]]:
    """All finished runs of a folder, by name, and of each damaged one (see `Run.check`) its name and a sentence that says what is wrong with it."""
    folder, runs, skipped = Path(folder), [], {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith(".") or not all((path / name).is_file() for name in FILES):
            continue
        try:
            run = Run.load(path)
            run.check()
        except WorkbenchError as error:
            skipped[path.name] = f"skipped the run {path.name}: {error.what} (in {error.where}; {error.do})"
        else:
            runs.append(run)
    return runs, skipped


def damaged(path: Path, what: str) -> WorkbenchError:
    """The error for a file of a run that is not what was written."""
    return WorkbenchError(f"{path.name} is damaged: {what}", where=str(path), do="restore the folder, or delete it and train again")


class Workspace:
    """The `.part` folder of a run in the making, held by one process.

    The lock is the operating system's: it is gone the moment the process is, also after kill -9. `epochs` are those that its checkpoint has.
    """

    def __init__(self, path: Path, final: Path, lock: IO[str]) -> None:
        self.path, self.final, self._lock = path, final, lock
        self.epochs = 0

    @property
    def state_path(self) -> Path:
        """The checkpoint."""
        return self.path / "state.pt"

    def write(self, name: str, write: Any) -> Path:
        """Writes one file whole or not at all: `write(temporary path)`, then a rename.

        Raises:
            StorageError: it cannot be written (disk full, folder read-only); what stood there still stands.
        """
        target, temporary = self.path / name, self.path / f"{name}.tmp"
        try:
            write(temporary)
            os.replace(temporary, target)
        except (OSError, RuntimeError) as error:
            # torch.save reports a full disk as a RuntimeError of its zip writer.
            temporary.unlink(missing_ok=True)
            raise self._refused(target, error, measured(name, write)) from error
        return target

    def _refused(self, path: Path, error: Exception, needed: int = 0) -> StorageError:
        """The error for what cannot be written, with what is kept of the run."""
        kept = f"Epochs 1 to {self.epochs} are in {self.path}: --resume goes on from there." if self.epochs else "It had no checkpoint yet."
        return cannot_write(path, error, saving=f"the run {self.final.name}", needed=needed, kept=kept, elsewhere=ELSEWHERE)

    def finish(self) -> Path:
        """Makes the folder the finished run; a second run of the same name gets `-2`, `-3`, ..."""
        number, final = 1, self.final
        while True:
            try:
                # rename(2) refuses a folder that is not empty, so two processes cannot take the same name.
                os.rename(self.path, final)
            except OSError as error:
                if not final.exists():
                    raise self._refused(final, error) from error
                number += 1
                final = self.final.with_name(f"{self.final.name}-{number}")
                continue
            # The checkpoint goes when the run is whole; the lock goes last: as long as it stands, nobody takes the folder for a run in the making.
            (final / "state.pt").unlink(missing_ok=True)
            (final / "lock").unlink(missing_ok=True)
            self._lock.close()
            return final


@contextmanager
def workspace(folder: Path, run_id: str, *, resume: bool):  # noqa: ANN201 - yields a Workspace
    """A `.part` folder that no other process holds; with `resume`, one that an ended process left, if there is one.

    Raises:
        StorageError: the folder cannot be made or written.
    """
    space = _claim(Path(folder), run_id, resume=resume)
    try:
        yield space
    finally:
        space._lock.close()


def _claim(folder: Path, run_id: str, *, resume: bool) -> Workspace:
    """Takes the first `.part` folder of this run that is free; to resume, one with a checkpoint before one without."""
    paths = [folder / (f".{run_id}.part" if number == 1 else f".{run_id}.{number}.part") for number in range(1, 1000)]
    if resume:
        paths.sort(key=lambda path: not (path / "state.pt").is_file())
    for path in paths:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error, saving=f"the run {run_id}", elsewhere=ELSEWHERE) from error
        try:
            lock = (path / "lock").open("w")
        except FileNotFoundError:
            # Its owner finished and renamed the folder between our two lines.
            continue
        except OSError as error:
            raise cannot_write(path, error, saving=f"the run {run_id}", elsewhere=ELSEWHERE) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        if not _is_same_file(lock, path / "lock"):
            # Its owner finished between our open and our lock: what we locked is no longer this folder's.
            lock.close()
            continue
        if not resume:
            for name in ("state.pt", *FILES):
                (path / name).unlink(missing_ok=True)
        return Workspace(path, folder / run_id, lock)
    raise TrainingError(f"1,000 processes hold {run_id}", where=str(folder))


def discard_parts(folder: Path, run_id: str) -> None:
    """Removes the `.part` folders of a run that no process holds."""
    for path in [folder / f".{run_id}.part", *folder.glob(f".{run_id}.[0-9]*.part")]:
        if not (path / "lock").is_file():
            continue
        with (path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            if _is_same_file(lock, path / "lock"):
                shutil.rmtree(path)


def _is_same_file(opened: IO[str], path: Path) -> bool:
    """True where the open file is the one that stands at the path now."""
    try:
        return os.fstat(opened.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def frames(runs: Iterable[Run]) -> dict[str, pd.DataFrame]:
    """The traces of several runs as tidy tables, one row a number; what the figures take.

    Returns:
        `history` (variant, seed, epoch, split, metric, value, is_best), `steps` (variant, seed, epoch, modality, quantity, value: mean over the
        epoch's steps), `probes` (variant, seed, epoch, modality, metric, value), `predictions` (variant, seed, split, sample, prediction, target);
        `rule` where a balancing rule said something (variant, seed, epoch, quantity, term, value: see `workbench.balance.Balancer.readings`);
        and for each tap that was watched, by its name (variant, seed, sample, modality, value: valid, best epoch) and `<name> by epoch`
        (variant, seed, epoch, modality, value). Of runs in stages the first three have two columns more (see `numbered_stages`), and the epoch
        that each stage kept `is_best`.
    """
    tables: dict[str, list[pd.DataFrame]] = {}
    for run in runs:
        labels = {"variant": run.variant, "seed": run.seed}
        for name, frame in _run_frames(run).items():
            tables.setdefault(name, []).append(frame.assign(**labels))
    return {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}


def numbered_stages(history: xr.Dataset) -> pd.DataFrame:
    """By epoch of a training in stages: `stage` (its name) and `stage_epoch` (counted from 1 in the stage)."""
    stage = history["stage"].to_series().astype(object).rename("stage")
    return pd.DataFrame({"stage": stage, "stage_epoch": stage.groupby(stage, sort=False).cumcount() + 1})


def _run_frames(run: Run) -> dict[str, pd.DataFrame]:
    """The tables of one run (see `frames`)."""
    trace = run.trace
    history = trace["history"].to_dataset()
    result = {"history": history["score"].to_dataframe("value").reset_index().dropna()}
    of_stages = (facts["best_epoch"] for facts in run.metrics.get("stages", {}).values())
    result["history"]["is_best"] = result["history"]["epoch"].isin([run.metrics["best_epoch"], *of_stages])
    if "steps" in trace:
        steps = trace["steps"].to_dataset()
        mean = steps["trace"].groupby("epoch").mean("step")
        result["steps"] = mean.to_dataframe("value").reset_index()
    if "probes" in trace:
        result["probes"] = trace["probes"].to_dataset()["score"].to_dataframe("value").reset_index().assign(metric=run.config["headline"])
    if "stage" in history:
        result = {name: frame.join(numbered_stages(history), on="epoch") for name, frame in result.items()}
    if "rule" in trace:
        result["rule"] = trace["rule"].to_dataset()["value"].to_dataframe().reset_index().dropna()
    if "taps" in trace:
        for tap, values in trace["taps"].to_dataset().data_vars.items():
            result[tap] = values.to_dataframe("value").reset_index().rename(columns={"batch": "sample"})
    for group in ("tap_means", "pair_means"):
        for tap, values in trace[group].to_dataset().data_vars.items() if group in trace else ():
            result[f"{tap} by epoch"] = values.to_dataframe("value").reset_index()
    parts = [group.to_dataset().to_dataframe().reset_index().assign(split=split) for split, group in trace["predictions"].children.items()]
    result["predictions"] = pd.concat(parts, ignore_index=True)
    return result
