"""The shipped presets keep their promise with real trainings: `starved` starves and B-fusion recovers it, `balanced` does neither."""

import numpy as np
import pytest

from workbench import studies

pytestmark = pytest.mark.slow
SEEDS = 3


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Mean test scores over seeds by preset and variant, every seed beside."""
    found = {}
    for preset in ("starved", "balanced"):
        data = studies.draws(f"opinions/{preset}", SEEDS)
        results = studies.imbalance(data, seeds=SEEDS, runs=tmp_path_factory.mktemp("runs"), plan={"is_traced": False, "probe_every": 0})
        table = results.scores(metrics=[results.headline]).pivot(index="seed", columns="variant", values="value")
        found[preset] = table, studies.ceiling_of(data, results.headline)
    return found


def best_single(table):
    return table[[name for name in table if name.endswith(" alone")]].mean().max()


def test_starved_joint_is_no_better_than_its_best_single_modality(outcome):
    table, ceiling = outcome["starved"]
    assert table["joint"].mean() <= best_single(table)
    assert ceiling["all"] - table["joint"].mean() > 0.1


@pytest.mark.parametrize("rule", ["joint + B-fusion", "joint + exact B-fusion"])
def test_b_fusion_recovers_starved_in_every_seed(outcome, rule):
    table, ceiling = outcome["starved"]
    assert (table[rule] - table["joint"] > 0.05).all()
    assert table[rule].mean() > best_single(table) + 0.02
    assert (table[rule] < ceiling["all"] + 0.02).all()


def test_balanced_needs_no_balancing(outcome):
    table, _ = outcome["balanced"]
    assert table["joint"].mean() > best_single(table) + 0.02
    assert abs(table["joint + B-fusion"].mean() - table["joint"].mean()) < 0.03


def test_nobody_beats_the_ceiling(outcome):
    for table, ceiling in outcome.values():
        for name in ("text", "audio", "vision"):
            # 1,000 test samples: three standard errors of a proportion near .85 are .034
            assert table[f"{name} alone"].max() < ceiling[name] + 0.034
        assert np.isfinite(table.to_numpy()).all()
