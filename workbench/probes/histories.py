"""What a run recorded of itself while it learned, as tables that the figures take."""

from collections.abc import Iterable, Mapping

import pandas as pd

from workbench.data.batch import Dataset
from workbench.errors import DataError
from workbench.runs import Run, numbered_stages

COLUMNS = ("variant", "seed", "epoch", "term", "value")


def loss_terms(runs: Iterable[Run]) -> pd.DataFrame:
    """Each further term of the loss, as it was added (weighted), mean over each epoch.

    Returns:
        One row a number: variant, seed, epoch, term, value; no row where the methods have no further term. Where a run was trained in stages, also
        stage and stage_epoch (see `workbench.runs.numbered_stages`).
    """
    parts = [pd.DataFrame(columns=list(COLUMNS))]
    for run in runs:
        history = run.trace["history"].to_dataset()
        terms = [str(name) for name in history.data_vars if str(name).startswith("loss_")]
        rows = []
        for term in terms:
            found = history[term].to_series()
            rows += [(run.variant, run.seed, epoch, term.removeprefix("loss_"), float(value)) for epoch, value in found.items()]
        found = pd.DataFrame(rows, columns=list(COLUMNS)).dropna(subset="value")
        parts.append(found.join(numbered_stages(history), on="epoch") if "stage" in history else found)
    filled = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(filled, ignore_index=True)


def made_labels(run: Run, data: Dataset | Mapping[int, Dataset]) -> pd.DataFrame:
    """The labels that a method made for single modalities in each epoch, beside the label of the whole.

    Args:
        run: a finished run of a method that makes labels (self_mm, mmiln).
        data: the data it was trained on (by seed where each seed had its own draw).

    Returns:
        One row a number: epoch, sample (row of train), modality, value, target; samples that lack the modality have no row.

    Raises:
        DataError: the run recorded no such labels.
    """
    snapshots = run.trace["snapshots"].to_dataset() if "snapshots" in run.trace else {}
    found = next((snapshots[name] for name in snapshots if set(snapshots[name].dims) == {"epoch", "sample", "modality"}), None)
    if found is None:
        raise DataError(f"the run {run.id} recorded no labels of its own making", where=str(run.path), expected="a run of self_mm or mmiln")
    train = run.draw(data)["train"]
    frame = found.to_dataframe("value").reset_index().dropna(subset="value")
    return frame.assign(target=train.target.numpy()[frame["sample"].to_numpy(int)])[["epoch", "sample", "modality", "value", "target"]]


def guarded(runs: Iterable[Run]) -> pd.DataFrame:
    """In how many samples |alpha_m| was smaller than the floor that label generation then divides by (`workbench.supervision.ulgm`), by epoch.

    Returns:
        One row an epoch: variant, seed, epoch, value (samples), samples (of the train split); no row of a run that recorded no such count.
    """
    rows = []
    for run in runs:
        snapshots = run.trace["snapshots"].to_dataset() if "snapshots" in run.trace else {}
        counts = snapshots["guarded"].to_series() if "guarded" in snapshots else {}
        rows += [(run.variant, run.seed, int(epoch), int(count), run.config["counts"]["train"]) for epoch, count in counts.items()]
    return pd.DataFrame(rows, columns=["variant", "seed", "epoch", "value", "samples"])
