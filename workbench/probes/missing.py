"""What does a trained model say when a modality is missing, or noisy? The same weights, asked on other views of the data.

missing_scores(run, data)      all there; each modality away, with zeros and, where the method can, with its synthesis in its place
robustness(run, data)          the headline score as a modality goes missing in more and more samples, or drowns in noise
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.data import scratch
from workbench.data.batch import UNKNOWN, Column, Dataset, ModalitySpec
from workbench.data.scaling import Scale, mean_and_spread
from workbench.data.views import View, apply
from workbench.errors import ConfigError
from workbench.model import FusionModel
from workbench.plan import Plan
from workbench.runs import Run
from workbench.tasks import Task, make_task
from workbench.training import predict

Asked = Run | FusionModel | Iterable[Run]
"""A finished run (its best epoch is asked), several, or a model as it is."""


def missing_scores(
    asked: Asked, data: Dataset | Mapping[int, Dataset], *, split: str = "test", rates: Sequence[float] = (1.0,), seed: int = 0
) -> pd.DataFrame:
    """All scores with everything there, and with each modality missing, by what stands in its place.

    Args:
        asked: see `Asked`.
        data: what it was trained on (by seed where each seed had its own draw).
        split: where it is scored.
        rates: shares of the samples that lack the modality.
        seed: which samples these are.

    Returns:
        One row a number: variant, seed, modality (`none`: nothing is missing), missing_rate, treatment (`present`; `zeros`; `synthesis` where the
        fusion has it), metric, value.

    Raises:
        ConfigError: a rate that is not above 0 and at most 1.
    """
    _check(rates, "a missing rate", above=0, most=1)
    rows = []
    for question in _questions(asked, data, split):
        rows += question.rows(question.scores(question.data), modality="none", missing_rate=0.0, treatment="present")
        for name in question.model.modalities:
            for rate in rates:
                view = apply(View(drop={name: rate}, drop_in=[split], view_seed=seed), question.data)
                for treatment in question.treatments:
                    with treated(question.model, treatment):
                        found = question.scores(view)
                    rows += question.rows(found, modality=name, missing_rate=float(rate), treatment=treatment)
    return pd.DataFrame(rows)


def robustness(
    asked: Asked,
    data: Dataset | Mapping[int, Dataset],
    *,
    rates: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    noise: Sequence[float] = (0.0, 0.5, 1.0, 2.0, 4.0),
    split: str = "test",
    seed: int = 0,
) -> pd.DataFrame:
    """The headline score as each modality goes missing, and as it gets noisy; all others stay as they are.

    Noise is normal, in standard deviations of each feature over TRAIN, added to every step. A token is replaced by an unknown one instead, with the
    amount as probability: amounts above 1 are left out for tokens. More noise is the same noise, larger; of a higher rate the lower one's samples are
    a part.

    Args:
        asked: see `Asked`; any method will do.
        data: what it was trained on (by seed where each seed had its own draw).
        rates: shares of the samples that lack the modality.
        noise: amounts of noise: standard deviations; of tokens the share that becomes unknown.
        split: where it is scored.
        seed: seed of noise and missing samples.

    Returns:
        One row a number: variant, seed, modality, disturbance (`missing`, `noise`), amount, metric, value.

    Raises:
        ConfigError: an amount below 0, or a rate above 1.
    """
    _check(rates, "a missing rate", above=None, most=1)
    _check(noise, "an amount of noise", above=None, most=None)
    rows = []
    for question in _questions(asked, data, split):
        quiet = question.headline(question.data)
        for name in question.model.modalities:
            scale = _scale(question.data, name)
            for rate in rates:
                view = View(drop={name: rate}, drop_in=[split], view_seed=seed)
                found = question.headline(apply(view, question.data)) if rate else quiet
                rows += question.rows(found, modality=name, disturbance="missing", amount=float(rate))
            for amount in (amount for amount in noise if amount <= 1 or not _is_tokens(question.data, name)):
                found = question.headline(noisy(question.data, name, amount, split=split, seed=seed, scale=scale)) if amount else quiet
                rows += question.rows(found, modality=name, disturbance="noise", amount=float(amount))
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Question:
    """One model and the data as it wants it."""

    model: FusionModel
    data: Dataset
    plan: Plan
    task: Task
    split: str
    labels: dict[str, Any]

    @property
    def treatments(self) -> tuple[str, ...]:
        """What can stand where a modality is missing."""
        return ("zeros", "synthesis") if hasattr(self.model.fusion, "missing") else ("zeros",)

    def scores(self, data: Dataset) -> dict[str, float]:
        """All metrics on a view of the data."""
        found = data[self.split]
        return self.task.metrics(predict(self.model, found, self.plan).prediction, found.target)

    def headline(self, data: Dataset) -> dict[str, float]:
        """The headline metric alone."""
        return {self.task.headline: self.scores(data)[self.task.headline]}

    def rows(self, scores: Mapping[str, float], **facts: Any) -> list[dict[str, Any]]:
        """One row a metric."""
        return [{**self.labels, **facts, "metric": metric, "value": value} for metric, value in scores.items()]


def _questions(asked: Asked, data: Dataset | Mapping[int, Dataset], split: str) -> Iterator[_Question]:
    """Each model that is asked, one after the other."""
    for one in [asked] if isinstance(asked, Run | FusionModel) else asked:
        if isinstance(one, FusionModel):
            if not isinstance(data, Dataset):
                raise ConfigError("a model is asked on one data set; data by seed is for runs", expected="a Dataset")
            model, plan, labels = one, Plan(), {"variant": "model", "seed": 0}
            source = data.select(*model.modalities).to(next(model.parameters()).device)
        else:
            model, plan, labels = one.model(), Plan(**one.config["plan"]), {"variant": one.variant, "seed": one.seed}
            source = one.prepared(data)
        yield _Question(model, source, plan, make_task(source.spec.task, loss=plan.loss), split, labels)


@contextmanager
def treated(model: FusionModel, treatment: str) -> Iterator[None]:
    """What stands where a modality is missing, inside the block; the model's own choice after it. A fusion without a choice has zeros."""
    if not hasattr(model.fusion, "missing"):
        yield
        return
    before, model.fusion.missing = model.fusion.missing, treatment
    try:
        yield
    finally:
        model.fusion.missing = before


def noisy(data: Dataset, name: str, amount: float, *, split: str = "test", seed: int = 0, scale: Scale | None = None) -> Dataset:
    """The data with one modality of one split disturbed (see `robustness`).

    Args:
        data: the data.
        name: the modality.
        amount: standard deviations; of tokens the share that becomes unknown.
        split: the split that is disturbed.
        seed: seed of the noise.
        scale: the modality's numbers in train, where they are known already.
    """
    spec, found = data.spec.modalities[name], data[split]
    digest = hashlib.sha256(f"{seed}/{split}/{name}/noise".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    column = found.columns[name]
    if _is_tokens(data, name):
        changed = _with_unknown(column, spec, amount, generator)
    else:
        _, spread = scale or mean_and_spread(data["train"].columns[name])
        changed = _with_noise(column, amount * torch.where(spread.isfinite(), spread, 0.0), generator)
    disturbed = replace(found, columns={**found.columns, name: changed})
    return replace(data, splits={**data.splits, split: disturbed}, ceiling={})


def _scale(data: Dataset, name: str) -> Scale | None:
    return None if _is_tokens(data, name) else mean_and_spread(data["train"].columns[name])


def _is_tokens(data: Dataset, name: str) -> bool:
    return data.spec.modalities[name].kind == "tokens"


def _with_noise(column: Column, deviation: Tensor, generator: torch.Generator) -> Column:
    """Normal noise on every step, some steps at a time: a column may be larger than memory."""
    values, room = scratch.empty(tuple(column.values.shape), np.float32)
    for start, piece in column.pieces():
        drawn = torch.randn(piece.shape, generator=generator).to(piece.device)
        values[start : start + len(piece)] = (piece + deviation.to(drawn) * drawn).float().cpu().numpy()
        scratch.release(room)
    noisy_values = torch.from_numpy(values)
    return Column(noisy_values.to(column.values.device), column.offsets, column.present, map=room if column.values.device.type == "cpu" else None)


def _with_unknown(column: Column, spec: ModalitySpec, share: float, generator: torch.Generator) -> Column:
    """Tokens replaced by the unknown one; a pretrained model's own first and last tokens stay."""
    is_hit = (torch.rand(column.values.shape, generator=generator) < share).to(column.values.device)
    unknown_id = UNKNOWN
    if spec.text_model:
        from workbench.text import load_tokenizer

        tokenizer = load_tokenizer(spec.text_model)
        unknown_id = tokenizer.unk_token_id
        is_hit &= ~torch.isin(column.values, torch.tensor(tokenizer.all_special_ids, device=column.values.device))
    return replace(column, values=torch.where(is_hit, unknown_id, column.values), digest="", map=None)


def _check(amounts: Sequence[float], what: str, *, above: float | None, most: float | None) -> None:
    """The amounts lie in their bounds."""
    for amount in amounts:
        if not (amount >= 0 if above is None else amount > above) or (most is not None and amount > most):
            low = "0 or more" if above is None else f"above {above:g}"
            raise ConfigError(f"{what} of {amount} will not do", expected=low + (f", at most {most:g}" if most is not None else ""))
