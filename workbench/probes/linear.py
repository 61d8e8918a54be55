"""What can be read off each modality inside a trained model? A linear probe on its frozen representation."""

from collections.abc import Iterable, Mapping

import pandas as pd

from workbench.data.batch import Dataset
from workbench.plan import Plan
from workbench.readout import ridge_readout
from workbench.runs import Run
from workbench.tasks import make_task
from workbench.training import predict


def probe_runs(runs: Iterable[Run], data: Dataset | Mapping[int, Dataset], *, split: str = "test") -> pd.DataFrame:
    """Scores of a ridge readout of each modality's z_i, fitted on train, asked on a split the model did not learn from.

    Source: adaptive weight fusion (2024), Table 8 ("the output of the unimodal networks used for sentiment analysis"). Decides: a linear probe on
    frozen z_i.

    Args:
        runs: finished runs; each is probed with the weights of its best epoch.
        data: the data they were trained on (by seed where each seed had its own draw).
        split: where the probe is scored.

    Returns:
        One row a number: variant, seed, modality, metric, value; of several labels every metric but `mae`, which needs probabilities.
    """
    rows = []
    for run in runs:
        asked = run.prepared(data)
        model, task, plan = run.model(), make_task(asked.spec.task), Plan(**run.config["plan"])
        fitted, wanted = (predict(model, asked[name], plan).representations for name in ("train", split))
        for modality in model.modalities:
            said = ridge_readout(fitted[modality], asked["train"].target, wanted[modality], task=task)
            scores = task.metrics(said, asked[split].target)
            if asked.spec.task.kind == "multilabel":
                del scores["mae"]  # a readout's outputs are no log-odds: it has sides, not probabilities
            rows += [
                {"variant": run.variant, "seed": run.seed, "modality": modality, "metric": name, "value": value} for name, value in scores.items()
            ]
    return pd.DataFrame(rows)
