"""Are made labels nearer to what a modality alone says than the label of the whole is? Labels of a training, scored against true ones.

Only where the data knows what each modality alone says (`Split.labels`: simulated data, CH-SIMS). The training itself never sees these labels.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from workbench.data.batch import Dataset
from workbench.errors import DataError
from workbench.probes.histories import made_labels
from workbench.runs import Run

MADE, WHOLE, LINE = "made label", "label of the whole", "line in the label of the whole"
"""What is scored: the made label; the label of the whole as it is; and the line in the label of the whole with the least mean absolute error, fitted
to the true labels: no label comes nearer that only shrinks or shifts the label of the whole and looks at no sample."""


def label_errors(runs: Iterable[Run], data: Dataset | Mapping[int, Dataset]) -> pd.DataFrame:
    """Mean distance of the labels that a training gave each modality from the true ones, over the train split, epoch by epoch.

    Args:
        runs: finished runs of methods that make labels (self_mm, mmiln).
        data: their data (by seed where each seed had its own draw).

    Returns:
        One row a number: variant, seed, epoch, modality, label (`MADE`, `WHOLE`, `LINE`), value (mean absolute error).

    Raises:
        DataError: the data does not know what a modality alone says, or a run recorded no labels.
    """
    rows, nearest = [], {}
    for key, made, whole, true in _beside_truth(runs, data):
        run = key[0], key[1], key[3]
        if run not in nearest:  # The truth and the label of the whole are the same in every epoch.
            nearest[run] = nearest_line(true, whole)
        said = {MADE: made, WHOLE: whole, LINE: nearest[run]}
        rows += [(*key, label, float(np.abs(values - true).mean())) for label, values in said.items()]
    return pd.DataFrame(rows, columns=["variant", "seed", "epoch", "modality", "label", "value"])


def is_known(runs: Iterable[Run], data: Dataset | Mapping[int, Dataset]) -> bool:
    """True where some run made labels, and the data knows what each modality alone says for which one did."""
    runs = list(runs)
    train = [run.draw(data)["train"] for run in runs]
    return bool(runs) and all(set(made_labels(run, data)["modality"]) <= set(split.labels) for run, split in zip(runs, train, strict=True))


def label_knowledge(runs: Iterable[Run], data: Dataset | Mapping[int, Dataset]) -> pd.DataFrame:
    """Partial correlation of made and true labels given the label of the whole: do they move the right way, sample by sample? 0: they know nothing.

    Args:
        runs, data: see `label_errors`.

    Returns:
        One row a number: variant, seed, epoch, modality, value; nan while made labels are still those of the whole.
    """
    rows = [(*key, partial_correlation(made, true, whole)) for key, made, whole, true in _beside_truth(runs, data)]
    return pd.DataFrame(rows, columns=["variant", "seed", "epoch", "modality", "value"])


def _beside_truth(
    runs: Iterable[Run], data: Dataset | Mapping[int, Dataset]
) -> Iterator[tuple[tuple[str, int, int, str], np.ndarray, np.ndarray, np.ndarray]]:
    """Variant, seed, epoch and modality; the made labels, those of the whole, the true ones."""
    for run in runs:
        train = run.draw(data)["train"]
        for (epoch, modality), frame in made_labels(run, data).groupby(["epoch", "modality"], sort=False):
            if modality not in train.labels:
                known = f"the labels {', '.join(train.labels)}" if train.labels else "simulated data, or CH-SIMS"
                raise DataError(f"what {modality} alone says is not known", where="train.labels", expected=known)
            true = train.labels[modality].cpu().numpy().astype(float)[frame["sample"].to_numpy(int)]
            made, whole = frame["value"].to_numpy(float), frame["target"].to_numpy(float)
            is_known = np.isfinite(true)
            yield (run.variant, run.seed, int(epoch), str(modality)), made[is_known], whole[is_known], true[is_known]


def nearest_line(wanted: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The line of `wanted` in `given` with the least sum of absolute errors (median regression), at `given`; the median where nothing varies."""
    from sklearn.linear_model import QuantileRegressor

    if not np.ptp(given) > 0:
        return np.full(len(wanted), np.median(wanted))
    return QuantileRegressor(quantile=0.5, alpha=0, solver="highs").fit(given[:, None], wanted).predict(given[:, None])


def line(wanted: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The least-squares line of `wanted` in `given`, at `given`; the mean where nothing varies."""
    apart = given - given.mean()
    slope = float(apart @ wanted / (apart @ apart)) if apart @ apart > 0 else 0.0
    return wanted.mean() + slope * apart


def partial_correlation(first: np.ndarray, second: np.ndarray, given: np.ndarray) -> float:
    """Pearson's correlation of what a line in `given` leaves of the two; nan where it leaves nothing of one of them."""
    left = [values - line(values, given) for values in (first, second)]
    sizes = [float(np.sqrt((rest**2).mean())) for rest in left]
    if any(size <= 1e-6 * (float(np.abs(values).max()) + 1e-300) for size, values in zip(sizes, (first, second), strict=True)):
        return float("nan")
    return float((left[0] * left[1]).mean() / (sizes[0] * sizes[1]))
