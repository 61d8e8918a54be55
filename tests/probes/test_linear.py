"""The linear probe on a model whose answer is known: what is in a representation is read, what is not is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from workbench import methods
from workbench.data.batch import Column, Dataset, Modality, ModalitySpec, Spec, Split, TaskSpec
from workbench.errors import ConfigError
from workbench.fitting import fit
from workbench.fusion.encoder_decoder import Concatenate
from workbench.model import FusionModel
from workbench.plan import Plan
from workbench.probes.linear import probe_runs
from workbench.runs import Run

COUNTS = {"train": 600, "valid": 50, "test": 400}
NOISE = 1.0


class First(nn.Module):
    """The vector as it came."""

    size = 5

    def forward(self, modality: Modality) -> torch.Tensor:
        return modality.values[:, 0]


class Transparent(Run):
    """A run whose representations are the features, turned and scaled by an invertible projection."""

    def model(self) -> FusionModel:
        names = self.config["modalities"]
        projections = {name: nn.Linear(5, 5) for name in names}
        for seed, layer in enumerate(projections.values()):
            random = np.random.default_rng(seed)
            turned, _ = np.linalg.qr(random.standard_normal((5, 5)))
            layer.weight.data = torch.from_numpy(turned * 7.0).float()
        return FusionModel({name: First() for name in names}, projections, Concatenate(), nn.Linear(5 * len(names), 1))


def made(*, classes: int = 0, seed: int = 0) -> Dataset:
    """Text: the target is a linear function of it; audio: the same with noise of the target's own size; vision: nothing."""
    random = np.random.default_rng(seed)
    direction = np.array([0.5, -0.5, 0.5, -0.5, 0.0])  # of length 1: the target has variance 1

    def split(name: str, n: int) -> Split:
        text, other, vision = (random.standard_normal((n, 5)) for _ in range(3))
        score = text @ direction
        # the part along the direction is score + noise; the rest is noise
        audio = other - np.outer(other @ direction, direction) + np.outer(score + NOISE * random.standard_normal(n), direction)
        columns = {key: Column.from_rows(rows.astype(np.float32)) for key, rows in (("text", text), ("audio", audio), ("vision", vision))}
        target = torch.from_numpy(score.astype(np.float32))
        return Split(name, columns, (target > 0).long() if classes else target, [f"{name}{i}" for i in range(n)])

    task = TaskSpec("multiclass", classes=("low", "high")) if classes else TaskSpec("regression")
    spec = Spec({key: ModalitySpec("vector", 5) for key in ("text", "audio", "vision")}, task)
    return Dataset("made", spec, {name: split(name, n) for name, n in COUNTS.items()})


def transparent(*, seed: int = 0, modalities: tuple[str, ...] = ("text", "audio", "vision")) -> Transparent:
    plan = {**Plan().model_dump(), "seed": seed}
    config = {"method": "lf_dnn", "config": methods.method("lf_dnn").Config().model_dump(), "modalities": list(modalities)}
    return Transparent(Path("transparent"), {**config, "variant": "transparent", "plan": plan}, {})


def scores(table: Any, metric: str) -> dict[str, float]:
    return table[table["metric"] == metric].set_index("modality")["value"].to_dict()


def test_a_linear_relation_is_read_and_noise_is_not():
    found = scores(probe_runs([transparent()], made()), "corr")
    assert found["text"] == pytest.approx(1.0, abs=1e-4)
    assert found["audio"] == pytest.approx(1 / np.sqrt(1 + NOISE**2), abs=0.05)  # corr(s, s + noise)
    assert abs(found["vision"]) < 4 / np.sqrt(COUNTS["test"])


def test_errors_are_in_the_labels_unit():
    found = scores(probe_runs([transparent()], made()), "mae")
    # best linear guess of s ~ N(0, 1): text all of it; audio leaves a variance of 1/2; vision leaves 1; mean |N(0, v)| = sqrt(2 v / pi)
    assert found["text"] < 0.02
    assert found["audio"] == pytest.approx(np.sqrt(2 * 0.5 / np.pi), abs=0.05)
    assert found["vision"] == pytest.approx(np.sqrt(2 / np.pi), abs=0.06)


def test_classes_are_read_too():
    found = scores(probe_runs([transparent()], made(classes=2)), "accuracy")
    assert found["text"] > 0.97
    assert found["audio"] == pytest.approx(1 - np.arctan(NOISE) / np.pi, abs=0.06)  # sign of s against sign of s + noise
    assert found["vision"] == pytest.approx(0.5, abs=0.1)


def test_the_split_that_is_asked():
    data = made()
    on_train = scores(probe_runs([transparent()], data, split="train"), "corr")
    on_valid = scores(probe_runs([transparent()], data, split="valid"), "corr")
    assert on_train != on_valid
    with pytest.raises(ConfigError, match="tset"):
        probe_runs([transparent()], data, split="tset")


def test_one_modality_and_each_seed_with_its_own_draw():
    draws = {0: made(), 1: made(seed=1)}
    table = probe_runs([transparent(modalities=("audio",)), transparent(seed=1, modalities=("audio",))], draws)
    assert set(table["modality"]) == {"audio"}
    corr = table[table["metric"] == "corr"].set_index("seed")["value"]
    alone = scores(probe_runs([transparent(seed=1, modalities=("audio",))], draws[1]), "corr")
    assert corr[1] == pytest.approx(alone["audio"], abs=1e-5)
    assert abs(corr[1] - corr[0]) > 1e-3


def test_trained_runs(toy, tmp_path):
    small = {"config": {"hidden_size": 4, "post_size": 4}, "runs": tmp_path}
    plan = {"epochs": 4, "learning_rate": 0.01, "batch_size": 16, "device": "cpu"}
    runs = [fit("lf_dnn", toy, plan={**plan, "seed": seed}, balance=rule, **small) for seed, rule in ((0, "none"), (1, "b_fusion"))]
    table = probe_runs(runs, toy)
    assert list(table) == ["variant", "seed", "modality", "metric", "value"]
    assert table.groupby(["variant", "seed"])["modality"].unique().map(list).to_dict() == {
        ("lf_dnn", 0): ["text", "audio", "vision"],
        ("lf_dnn + b_fusion", 1): ["text", "audio", "vision"],
    }
    # the label is written into the toy's text most, into its vision least
    mean = table[table["metric"] == "corr"].groupby("modality")["value"].mean()
    assert mean["text"] > 0.8
    assert mean["text"] > mean["vision"]
