"""How strongly does a model relate its modalities? Canonical correlations of each pair by epoch, as a run recorded them, and over a whole split.

What a run recorded on valid is the mean over batches. The best linear combinations are sought anew in each batch, so that few samples always seem to
correlate: a curve tells whether it rises, not how high it is. `whole_correlations` takes all real steps of a split at once, and says beside it what
the same encodings give where the samples of one side are dealt out anew. What is left then is chance, and what every sample has at one place of its
time (a beginning, an end): neither is anything that a sample's modalities say of each other.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.data.batch import Dataset, Split
from workbench.errors import DataError
from workbench.fusion.constraint import canonical_correlations
from workbench.fusion.correlated import CorrelatedFusion, met_steps
from workbench.model import FusionModel
from workbench.runs import Run, numbered_stages
from workbench.sequences import Steps

COLUMNS = ("variant", "seed", "stage", "epoch", "pair", "value", "is_kept", "samples")

WHOLE_COLUMNS = ("variant", "seed", "pair", "value", "floor", "untrained", "untrained_floor")

TOTAL = "fusion.total"
"""The tap of the pairs' total correlations."""

WHOLE = "whole"
"""What the only stage is called where a model is trained all at once."""

BATCH = 64
"""Samples that are encoded, and brought onto common steps, at once."""


def correlations_by_epoch(runs: Iterable[Run], *, tap: str = TOTAL, stages: Sequence[str] | None = ("correlation", WHOLE)) -> pd.DataFrame:
    """The total canonical correlation of each pair of modalities on valid, by epoch of the stage.

    A run's `pair_means` hold it: a variable a tap with the single axis `pair`, `epoch pair`; epochs in which it was not computed are not there.

    Args:
        runs: finished runs.
        tap: the tap's name.
        stages: of these stages only (a run without stages has one, `whole`); None: of all.

    Returns:
        One row a number: variant, seed, stage, epoch (counted from 1 in the stage), pair (`text x audio`), value (the sum of the pair's canonical
        correlations, mean over batches), is_kept (the epoch whose weights the stage kept), samples (of a batch).

    Raises:
        DataError: no run recorded such a tap.
    """
    rows, has_any = [], False
    for run in runs:
        means = run.trace["pair_means"].to_dataset() if "pair_means" in run.trace else {}
        if tap not in means:
            continue
        found, has_any = means[tap], True
        stage, number = stage_epochs(run)
        kept, samples = _kept_epochs(run), _samples_of_a_batch(run)
        for place, epoch in enumerate(found["epoch"].values):
            if stages is not None and stage[epoch] not in stages:
                continue
            values = found.transpose("epoch", "pair").values[place]
            facts = (run.variant, run.seed, stage[epoch], number[epoch])
            told = [(str(pair), float(value)) for pair, value in zip(found["pair"].values, values, strict=True) if np.isfinite(value)]
            rows += [(*facts, pair, value, int(epoch) in kept, samples) for pair, value in told]
    if not has_any:
        raise DataError("no run recorded correlations of pairs", expected="runs of delta_attention with has_correlation")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def stage_epochs(run: Run) -> tuple[dict[int, str], dict[int, int]]:
    """Of each epoch of a run: its stage's name, and its number within the stage, from 1."""
    history = run.trace["history"].to_dataset()
    if "stage" not in history:
        epochs = [int(epoch) for epoch in history["epoch"].values]
        return dict.fromkeys(epochs, WHOLE), {epoch: place for place, epoch in enumerate(epochs, 1)}
    found = numbered_stages(history)
    return found["stage"].replace("", WHOLE).to_dict(), found["stage_epoch"].to_dict()


def _kept_epochs(run: Run) -> set[int | None]:
    """The epochs (of the whole training) whose weights were kept, one a stage."""
    return {run.metrics["best_epoch"], *(facts["best_epoch"] for facts in run.metrics.get("stages", {}).values())}


def _samples_of_a_batch(run: Run) -> int:
    """Samples of a batch in which valid was predicted (see `workbench.training.predict`); the smallest of them may have one less."""
    samples, most = run.config["counts"]["valid"], max(run.config["plan"]["batch_size"], 256)
    return -(-samples // max(1, -(-samples // most)))


def whole_correlations(runs: Iterable[Run], data: Dataset | Mapping[int, Dataset], *, split: str = "valid", permutations: int = 5) -> pd.DataFrame:
    """The total canonical correlation of each pair of modalities over a whole split, by the kept weights, beside what chance gives.

    Args:
        runs: finished runs; those without correlated encodings are left out.
        data: what they were trained on, one for all or one a seed.
        split: which split.
        permutations: how often the samples of one side are dealt out anew, for the floor: whole samples, whose steps stay together.

    Returns:
        One row a run and pair: variant, seed, pair, value, floor (mean over the permutations), and both of the same model before it learned anything
        (untrained, untrained_floor).

    Raises:
        DataError: no run has correlated encodings.
    """
    rows = []
    for run in runs:
        models = run.model(), run.model_like(seed=run.seed)
        if not (isinstance(models[0].fusion, CorrelatedFusion) and models[0].fusion.has_correlation):
            continue
        found = run.prepared(data)[split]
        told = [total_correlations(model, found, permutations=permutations) for model in models]
        rows += [(run.variant, run.seed, pair, *value, *told[1][pair]) for pair, value in told[0].items()]
    if not rows:
        raise DataError("no run has encodings that are made to correlate", expected="runs of delta_attention with has_correlation")
    return pd.DataFrame(rows, columns=list(WHOLE_COLUMNS))


def total_correlations(model: FusionModel, split: Split, *, permutations: int = 5) -> dict[str, tuple[float, float]]:
    """Of each pair of modalities: the sum of its canonical correlations over all real steps of a split, and the mean of that sum by chance.

    Args:
        model: with a `CorrelatedFusion`.
        split: as the model sees it.
        permutations: see `whole_correlations`; 0: the floor is nan.
    """
    encoded = _encoded(model, split)
    random = np.random.default_rng(0)
    orders = [torch.from_numpy(random.permutation(len(split))) for _ in range(permutations)]
    found = {}
    for names, (first, second) in zip(combinations(encoded, 2), model.fusion.pairs, strict=True):
        own, *chance = (_total(encoded[first], encoded[second], order, ridge=model.fusion.ridge) for order in (torch.arange(len(split)), *orders))
        found[" x ".join(names)] = own, float(np.mean(chance)) if chance else float("nan")
    return found


def _total(first: Steps, second: Steps, order: Tensor, *, ridge: float) -> float:
    """The sum over all steps, the second modality's samples in some order."""
    met = [
        met_steps(Steps(first.values[rows], first.mask[rows]), Steps(second.values[order[rows]], second.mask[order[rows]]))
        for rows in torch.arange(len(order)).split(BATCH)
    ]
    one, other = (torch.cat(parts) for parts in zip(*met, strict=True))
    return float(canonical_correlations(one, other, ridge=ridge).sum())


@torch.no_grad()
def _encoded(model: FusionModel, split: Split) -> dict[str, Steps]:
    """The encodings E_M of every sample of a split, in its order."""
    model.eval()
    seen: dict[str, list[Steps]] = {name: [] for name in model.fusion.encode}
    device = next(model.parameters()).device
    with ExitStack() as stack:
        for name, network in model.fusion.encode.items():
            keep = seen[name]
            hook = network.register_forward_hook(lambda _, given, said, keep=keep: keep.append(Steps(said.cpu(), given[1].cpu())))
            stack.callback(hook.remove)
        for batch in split.to(device, is_resident=False).batches(BATCH):
            model(batch)
    return {name: Steps(*(_joined([getattr(part, what) for part in parts]) for what in ("values", "mask"))) for name, parts in seen.items()}


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Batches one after the other, shorter ones filled with zeros (steps that are not real) at their end."""
    longest = max(part.shape[1] for part in parts)
    return torch.cat([torch.cat([part, part.new_zeros(len(part), longest - part.shape[1], *part.shape[2:])], dim=1) for part in parts])
