"""The results of a sweep, running or done: trials, scores on valid, the chosen setting, and, at the very end, its score on test."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.data.batch import Dataset
from workbench.errors import ConfigError, WorkbenchError
from workbench.recording import fingerprint
from workbench.runs import Run
from workbench.statistics import mean_and_spread
from workbench.sweeps.desk import counted, setting_of
from workbench.sweeps.record import Record, read_record, write_json
from workbench.sweeps.settings import say
from workbench.sweeps.sources import Source
from workbench.sweeps.space import Space, shown
from workbench.sweeps.store import Store, quiet

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
COLUMNS = ("value", "sd", "n", "seconds", "started", "ended", "error")


@dataclass
class Sweep:
    """A sweep on disk. `sweep()` returns one; `Sweep.load(path)` opens one, also while it runs.

    Args:
        path: its folder.
        record: what it is of.
        store: its study.
        data: where its data comes from.
    """

    path: Path
    record: Record
    store: Store
    source: Source = field(repr=False)

    @classmethod
    def load(cls, path: str | Path, *, study: str | None = None) -> "Sweep":
        """The sweep in a folder.

        Args:
            path: its folder.
            study: URL of the study, where the one noted in the folder lacks the password.

        Raises:
            WorkbenchError: the folder is none of a sweep.
        """
        path = Path(path)
        record = Record(**read_record(path))
        url = study or (f"sqlite:///{(path / 'study.db').resolve()}" if not record.study else record.study)
        store = Store(url, record.study_name, is_lower_better=record.is_lower_better)
        data = record.data
        return cls(path, record, store, Source(data["name"], data["options"], tuple(data["modalities"])))

    @property
    def method(self) -> str:
        """The method's name."""
        return self.record.method

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return self.record.dataset

    @property
    def keys(self) -> list[str]:
        """Full names of the swept settings."""
        return self.record.keys

    @property
    def metric(self) -> str:
        """The headline metric: its mean over the seeds on valid is a trial's score."""
        return self.record.metric

    @property
    def is_lower_better(self) -> bool:
        """True where less of the metric is better."""
        return self.record.is_lower_better

    @property
    def base(self) -> dict[str, Any]:
        """The settings that are not swept, by full name."""
        return self.record.base

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of each trial."""
        return tuple(self.record.seeds)

    def space(self) -> Space:
        """The swept keys."""
        return Space(self.record.read_ranges(), self.record.usual, self.record.sampler == "tpe")

    @property
    def study(self) -> "optuna.Study":
        """The trials that count, as they are now, as an optuna study in memory: times as on disk, settings as people write them.

        `store.study` is the one on disk, in which other things stand for settings that are no numbers (see `workbench.sweeps.space`).
        """
        import optuna

        with quiet():
            trials = counted(self.store.trials())
            settings = [setting for trial in trials if (setting := setting_of(trial))]
            distributions = self.space().shown_distributions(settings)
            view = optuna.create_study(study_name=self.record.study_name, direction="minimize" if self.is_lower_better else "maximize")
            for trial in trials:
                view.add_trial(_as_shown(trial, distributions))
        return view

    def trials(self) -> pd.DataFrame:
        """One row a setting: trial, state, one column a key, value (mean over the seeds on valid), sd, n, seconds, started, ended, error.

        `value` of a pruned trial is the last one reported; `seconds` are those of training. A trial whose process was killed is not counted: the one
        that took its place is.
        """
        rows = [self._row(trial) for trial in counted(self.store.trials())]
        return self._with_settings(pd.DataFrame(rows, columns=["trial", "state", *self.keys, *COLUMNS]), rows)

    def _row(self, trial: "FrozenTrial") -> dict[str, Any]:
        scores = trial.user_attrs.get("scores", "{}")
        values = pd.Series([seed[self.metric] for seed in json.loads(scores).values()], dtype=float)
        facts = {"trial": trial.number, "state": STATES[trial.state.name], **shown(setting_of(trial) or dict.fromkeys(self.keys))}
        value = trial.value if trial.state.name in ("COMPLETE", "PRUNED") else None
        facts |= {"value": float("nan") if value is None else value, "sd": values.std(ddof=1) if len(values) > 1 else float("nan"), "n": len(values)}
        times = {"started": trial.datetime_start, "ended": trial.datetime_complete}
        return {**facts, "seconds": trial.user_attrs.get("seconds", float("nan")), **times, "error": trial.user_attrs.get("error", "")}

    def scores(self, metrics: list[str] | None = None) -> pd.DataFrame:
        """One row a number of the complete trials: trial, one column a key, seed, split (valid), metric, value."""
        rows = [
            {"trial": trial.number, **shown(setting_of(trial)), "seed": int(seed), "split": "valid", "metric": metric, "value": value}
            for trial in counted(self.store.trials())
            if trial.state.name == "COMPLETE"
            for seed, scores in json.loads(trial.user_attrs["scores"]).items()
            for metric, value in scores.items()
            if metrics is None or metric in metrics
        ]
        return self._with_settings(pd.DataFrame(rows, columns=["trial", *self.keys, "seed", "split", "metric", "value"]), rows)

    def _with_settings(self, table: pd.DataFrame, rows: list[dict[str, Any]]) -> pd.DataFrame:
        """The table with None where a setting is None: beside numbers pandas would make it nan."""
        for key in self.keys:
            values = [row[key] for row in rows]
            if None in values:
                table[key] = pd.Series(values, index=table.index, dtype=object)
        return table

    def best(self) -> pd.Series:
        """The row of the complete trial with the best score on valid; of equal ones the first.

        Raises:
            WorkbenchError: no trial is complete.
        """
        table = self.trials()
        table = table[table["state"] == "complete"]
        if table.empty:
            failed = self.trials()["error"].replace("", None).dropna()
            reason = f"the first failure: {failed.iloc[0]}" if len(failed) else "none has ended yet"
            raise WorkbenchError(f"no trial of the sweep is complete; {reason}", where=str(self.path))
        return table.loc[table["value"].idxmin() if self.is_lower_better else table["value"].idxmax()]

    def best_text(self) -> str:
        """`hidden_size=64: valid acc2_non0 .812 ± .014 (n = 3)`."""
        row = self.best()
        values = self.scores([self.metric]).query("trial == @row.trial")["value"].to_numpy()
        return f"{say(row[self.keys].to_dict())}: valid {self.metric} {mean_and_spread(values)} (n = {len(values)})"

    def on_test(self, data: Dataset | Mapping[int, Dataset] | None = None, *, is_early: bool = False) -> pd.DataFrame:
        """Scores the kept runs of the chosen setting on the untouched test split: seed, metric, value. Nothing is trained.

        Test is looked at once: the scores are written to chosen.json, with the date and the number of trials, and read from there the next time.
        Where the sweep has grown since and another setting is chosen, it is scored too, and both looks stand in the file.

        Args:
            data: all splits, where the sweep was made on objects.
            is_early: also while trials are unfinished.

        Raises:
            WorkbenchError: trials are unfinished, a run is not here, or the data is not that of the sweep.
        """
        table = self.trials()
        waiting = int(table["state"].isin(["running", "waiting"]).sum())
        if waiting and not is_early:
            raise WorkbenchError(
                f"{waiting} of {len(table)} trials are unfinished, and test is for the end", where=str(self.path),
                do="finish the sweep (the same command goes on), or on_test(is_early=True)",
            )  # fmt: skip
        number, looks = int(self.best()["trial"]), self._looks()
        trial = next(trial for trial in self.store.trials() if trial.number == number)
        # By setting and runs, not by number: another study may stand in this folder now.
        is_same = {"setting": setting_of(trial), "runs": json.loads(trial.user_attrs["runs"])}
        found = next((look for look in looks if all(look[key] == value for key, value in is_same.items())), None)
        if found is None:
            found = self._look(trial, table, data)
            write_json(self.path / "chosen.json", {"metric": self.metric, "looks": [*looks, found]})
        rows = [{"seed": int(seed), "metric": metric, "value": value} for seed, scores in found["test"].items() for metric, value in scores.items()]
        return pd.DataFrame(rows).astype({"value": float})

    def _looks(self) -> list[dict[str, Any]]:
        """Earlier looks at test."""
        path = self.path / "chosen.json"
        return json.loads(path.read_text())["looks"] if path.is_file() else []

    def _look(self, trial: "FrozenTrial", table: pd.DataFrame, data: Any) -> dict[str, Any]:
        """Scores a trial's runs on test, once."""
        names, scores = json.loads(trial.user_attrs["runs"]), {}
        for seed, name in names.items():
            if not (self.path / "runs" / name).is_dir():
                place = trial.user_attrs.get("place", "another machine")
                raise WorkbenchError(f"the run {name} is not here; it was trained on {place}", where=str(self.path / "runs"), do="copy it here")
            scores[seed] = scores_on_test(Run.load(self.path / "runs" / name), self._whole(int(seed), data))
        states = table["state"].value_counts().to_dict()
        when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        return {
            "trial": trial.number,
            "setting": setting_of(trial),
            "value": trial.value,
            "date": when,
            "trials": states,
            "runs": names,
            "test": scores,
        }

    def _whole(self, seed: int, data: Any) -> Dataset:
        """All splits of one seed, proved to be the sweep's by its train and valid."""
        whole = self.source.whole(seed) if data is None else data if isinstance(data, Dataset) else data[seed]
        chosen = whole.select(*self.source.modalities) if self.source.modalities else whole
        if "test" not in whole.splits:
            raise ConfigError("this data has no test split", where=whole.name, do="give the data with all its splits: on_test(data)")
        prints = self.record.data["fingerprints"]
        if fingerprint(chosen.sealed()) != prints[self.seeds.index(seed) if len(prints) > 1 else 0]:
            where = f"{whole.name}, seed {seed}"
            raise ConfigError("this is not the data of the sweep: its train and valid splits are others", where=where, do="give the same data again")
        return whole


def scores_on_test(run: Run, data: Dataset) -> dict[str, float]:
    """A run's loss and metrics on the test split."""
    from workbench.plan import Plan
    from workbench.recording import without_nan
    from workbench.tasks import make_task
    from workbench.training import predict

    plan, split = Plan(**run.config["plan"]), run.prepared(data)["test"]
    task = make_task(run.spec.task, loss=plan.loss)
    said = predict(run.model(), split, plan).prediction
    return without_nan({"loss": float(task.loss(said, split.target)), **task.metrics(said, split.target)})


def _as_shown(trial: "FrozenTrial", distributions: dict[str, Any]) -> "FrozenTrial":
    """A trial of the study on disk with its setting as people write it."""
    from optuna.trial import FrozenTrial

    setting = setting_of(trial)
    parameters = shown(setting) if setting and trial.state.name != "WAITING" else {}
    return FrozenTrial(
        number=trial.number, state=trial.state, value=trial.value, datetime_start=trial.datetime_start, datetime_complete=trial.datetime_complete,
        params=parameters, distributions={key: distributions[key] for key in parameters}, user_attrs={}, system_attrs={},
        intermediate_values=trial.intermediate_values, trial_id=trial.number,
    )  # fmt: skip
