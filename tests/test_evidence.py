"""The questions of 05_mldfa: what is trained, and sentences about tables whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from workbench import evidence, figures, methods, studies, taxonomy
from workbench.data.batch import Dataset, TaskSpec
from workbench.errors import ConfigError
from workbench.figures import caption_of
from workbench.statistics import Difference

SMALL = {"hidden_size": 8, "post_size": 5, "encoder_layers": 1, "encoder_heads": 2, "heads": 2}
SIZES = {"train": 24, "valid": 20, "test": 20}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two lags, two seeds, one epoch."""
    budget = {"seeds": 2, "plan": {"epochs": 1}, "runs": tmp_path_factory.mktemp("runs")}
    return evidence.over_values("lag", [0.2, 1.0], config=SMALL, dials=SIZES, **budget), budget


def test_a_dial_is_turned_for_every_seed_and_the_rest_stays(trained):
    found, _ = trained
    assert list(found) == [0.2, 1.0]
    for value, (results, data) in found.items():
        assert [run.seed for run in results.runs] == [0, 1] and list(data) == [0, 1]
        assert {one.notes["dials"]["lag"] for one in data.values()} == {value}
        assert {len(one["train"]) for one in data.values()} == {24}
    assert taxonomy.turned("informativeness.vision", 0.4) == {"informativeness": {"vision": 0.4}}
    with pytest.raises(ConfigError, match="digits has no dials to turn"):
        evidence.over_values("lag", [0.2], dataset="digits")


def test_lags_and_uses_are_gathered_over_trainings(trained):
    found, _ = trained
    lags = evidence.followed_lags(found)
    assert set(lags["x"]) == {0.2, 1.0} and set(lags["seed"]) == {0, 1} and set(lags["modality"]) == {"audio", "vision"}
    use = evidence.uses(found)
    assert len(use) == 2 * 2 * 4 * 3
    assert "attention moves by" in caption_of(figures.lag_recovery(lags)) and caption_of(figures.over_dial(use, dial="lag [s]"))


def test_a_tap_by_class_of_one_run_and_of_several(trained):
    results, data = trained[0][0.2]
    one = evidence.class_table(results.runs[:1], data, "fusion.attention.attention", over=["head"])
    assert one["mean"].dims == ("class", "modality", "modality_attended") and one.attrs["unit"] == "sample"
    np.testing.assert_allclose(one["mean"].sum("modality_attended"), 1, atol=1e-5)
    both = evidence.class_table(results.runs, data, "fusion.gate.gate", over=["feature"])
    assert both["mean"].dims == ("class", "modality") and both.attrs == {"unit": "seed", "samples": 40, "seeds": 2}
    assert int(one["n"].sum()) == 20


def test_parts_and_rivals_have_one_plan_and_differ_in_what_their_name_says(trained):
    _, budget = trained
    data = studies.draws("opinions/balanced", [0], **SIZES)
    rivals = evidence.against_rivals(data, config=SMALL, rivals={"lf_dnn": {"hidden_size": 8}}, **{**budget, "seeds": 1})
    assert [run.variant for run in rivals.runs] == ["mldfa", "lf_dnn"]
    assert rivals.runs[0].config["plan"] == rivals.runs[1].config["plan"]
    parts = evidence.without_parts(data, config=SMALL, **{**budget, "seeds": 1})
    assert [run.variant for run in parts.runs] == ["mldfa", *evidence.PARTS]
    whole = parts.runs[0].config["config"]
    for run in parts.runs[1:]:
        changed = {key: value for key, value in run.config["config"].items() if whole[key] != value}
        assert changed == evidence.PARTS[run.variant]
    known = set(methods.method("mldfa").Config.model_fields)
    assert {key for off in evidence.PARTS.values() for key in off} == {name for name in known if name.startswith("has_")}
    assert evidence.say_left_out(parts) == "No part is left out."
    assert evidence.missed_parts(parts) == "For 6 of 6 parts no difference is found (Holm, 5 %)."


@pytest.fixture(scope="module")
def vectors():
    """Two modalities of one vector a sample: nothing has steps."""
    random = np.random.default_rng(0)
    arrays = {
        name: {
            "audio": random.normal(size=(n, 5)).astype("float32"),
            "vision": random.normal(size=(n, 3)).astype("float32"),
            "target": random.normal(size=n),
        }
        for name, n in (("train", 24), ("valid", 12), ("test", 12))
    }
    return Dataset.from_arrays("vectors", arrays, task=TaskSpec("regression"))


def test_parts_that_a_model_of_vectors_has_not_are_left_out(vectors, trained):
    _, budget = trained
    steps = ("without global-local", "without time alignment")
    assert list(evidence.parts_of(vectors, config=SMALL)) == [name for name in evidence.PARTS if name not in steps]
    # What is off already cannot be switched off.
    assert "without the gate" not in evidence.parts_of(vectors, config={**SMALL, "has_gate": False})
    parts = evidence.without_parts(vectors, config=SMALL, **{**budget, "seeds": 1})
    assert [run.variant for run in parts.runs] == ["mldfa", *(name for name in evidence.PARTS if name not in steps)]
    assert evidence.say_left_out(parts) == f"Left out, because they change nothing in the model of this data: {', '.join(steps)}."
    assert evidence.missed_parts(parts) == "For 4 of 4 parts no difference is found (Holm, 5 %)."
    assert "fusion.alignment.alpha by epoch" not in parts.frames


class Told:
    """Results whose differences are given: mean and p."""

    def __init__(self, changes, headline):
        self.changes, self.headline = changes, headline
        self.runs = [type("Run", (), {"variant": name})() for name in ("mldfa", *changes)]

    def difference(self, after, before):
        assert before == "mldfa"
        mean, p = self.changes[after]
        return Difference(mean, mean - 0.1, mean + 0.1, p, 3)


def test_parts_that_are_missed_are_named_by_the_metrics_direction():
    changes = {"without a": (-0.2, 0.01), "without b": (0.3, 0.002), "without c": (0.05, 0.3)}
    said = evidence.missed_parts(Told(changes, "acc2_non0"))
    assert said.startswith("Worse without a (-.200 (95 % -.300 to -.100") and "; Better without b (+.300" in said
    assert said.endswith("; for 1 of 3 parts no difference is found (Holm, 5 %).")
    assert evidence.missed_parts(Told(changes, "mae")).startswith("Worse without b (+.300")


def test_many_parts_are_held_against_a_smaller_level():
    # Three of them: the smallest p must be below .05 / 3, the next below .05 / 2.
    weak = {"without a": (-0.2, 0.02), "without b": (0.3, 0.02), "without c": (0.2, 0.02)}
    assert evidence.missed_parts(Told(weak, "acc2_non0")) == "For 3 of 3 parts no difference is found (Holm, 5 %)."
    mixed = {"without a": (-0.2, 0.016), "without b": (0.3, 0.024), "without c": (0.2, 0.06)}
    assert evidence.missed_parts(Told(mixed, "acc2_non0")).endswith("for 1 of 3 parts no difference is found (Holm, 5 %).")


def test_what_rises_and_falls_with_a_dial_is_said():
    rows = [("gate", 0.0, 0.5), ("gate", 0.8, 0.6), ("received", 0.0, 0.5), ("received", 0.8, 0.4), ("lost", 0.0, 0.1), ("lost", 0.8, 0.1)]
    jitter = {"gate": 0.001, "received": 0.001, "lost": 0.05}
    use = pd.DataFrame(
        [
            {"quantity": quantity, "modality": "vision", "x": x, "seed": seed, "value": value + jitter[quantity] * (seed - 1) * (1 if x else -1)}
            for quantity, x, value in rows
            for seed in range(3)
        ]
    )
    said = evidence.say_use(use, "vision")
    assert said.startswith("rises: gate (+.1000, 95 % +.09") and "; falls: received (-.1000, 95 % -.10" in said
    assert "; not found to change: lost (+.0000, 95 % -" in said and said.endswith("(n = 3).")
    assert evidence.say_use(use[use["seed"] == 0], "vision").endswith("(n = 1).")


def test_rows_are_told_over_seeds_with_the_own_row_against_the_others():
    lags = pd.DataFrame(
        [
            {"variant": variant, "modality": "audio", "seed": seed, "looked_at": 0.5, "auc": 0.7 + 0.01 * seed + extra, "auc_others": 0.5}
            for variant in ("a", "b")
            for seed in range(3)
            for extra in (-0.1, 0.1)
        ]
    )
    found = evidence.row_table(lags)
    assert found["trained"].tolist() == ["a", "b"]
    # .70, .71, .72: standard error .01 / sqrt 3, quantile 4.303.
    assert found["AUC, own row"].tolist() == [".710 (95 % .685 to .735)"] * 2
    assert found["frames seen (share)"].tolist() == [".500 (95 % .500 to .500)"] * 2
    assert found["own less other rows"][0].startswith("+.210 (95 % +.185 to +.235, n = 3")
    alone = evidence.row_table(lags[lags["seed"] == 0].drop(columns="variant"))
    assert alone["trained"].tolist() == ["mldfa"] and alone["AUC, own row"].tolist() == [".700"]


def test_the_papers_table_is_that_of_the_cards():
    found = evidence.printed_table().set_index(["data", "metric"])
    assert list(found.columns) == ["tfn", "lmf", "mult", "mldfa", "not as here"]
    # MLDFA, Table I.
    assert found.loc[("MM-IMDb", "accuracy"), ["tfn", "lmf", "mult", "mldfa"]].tolist() == [0.685, 0.702, 0.724, 0.743]
    assert found.loc[("MM-IMDb", "f1"), ["tfn", "lmf", "mult", "mldfa"]].tolist() == [0.678, 0.695, 0.718, 0.736]
    assert found.loc[("MELD", "accuracy"), ["tfn", "lmf", "mult", "mldfa"]].tolist() == [0.632, 0.651, 0.668, 0.682]
    assert found.loc[("MELD", "f1_weighted"), ["tfn", "lmf", "mult", "mldfa"]].tolist() == [0.625, 0.643, 0.659, 0.675]
    assert found.loc[("MOSI", "mae"), ["tfn", "lmf", "mult", "mldfa"]].tolist() == [0.87, 0.852, 0.832, 0.81]
    assert found.loc[("MOSI", "corr"), ["tfn", "lmf", "mult", "mldfa"]].tolist() == [0.612, 0.629, 0.647, 0.672]
    assert found["not as here"].str.startswith("other ").all()


@pytest.mark.parametrize(
    ("name", "metrics", "expected"),
    [
        ("mosi", ["acc2_non0", "mae", "corr"], {"mae": 0.81, "corr": 0.672}),
        ("mosi_mmsa/aligned", ["mae"], {"mae": 0.81}),
        ("meld", ["accuracy", "f1_weighted"], {"accuracy": 0.682, "f1_weighted": 0.675}),
        ("meld_raw", ["f1_weighted", "accuracy"], {"accuracy": 0.682, "f1_weighted": 0.675}),
        ("mmimdb", ["f1_micro", "accuracy", "f1_macro"], {"accuracy": 0.743}),
    ],
)
def test_its_rows_stand_beside_the_measured_ones_of_their_data(name, metrics, expected):
    rows = evidence.comparable(name, metrics)
    assert set(rows["variant"].str.partition(" ")[0]) == {"tfn", "lmf", "mult", "mldfa"}
    own = rows[rows["variant"] == "mldfa in MLDFA Table I"]
    assert dict(zip(own["metric"], own["value"], strict=True)) == expected
    assert rows["source"].str.startswith("other ").all()


def test_other_data_has_no_rows_of_it():
    assert evidence.comparable("opinions/balanced", ["mae"]) is None
    assert evidence.comparable("sims", ["mae", "corr"]) is None, "its rows are of other papers"


def test_the_metrics_of_a_table_are_the_headline_and_those_of_table_1(trained):
    results = trained[0][0.2][0]
    assert evidence.table_metrics(results) == ["acc2_non0", "mae", "corr"]


@pytest.mark.parametrize("card", ["mosi", "mosi_mult", "mosi_csd", "mosi_misa", "mosi_mmsa"])
def test_every_form_of_mosi_has_the_papers_row(card):
    rows = studies.published(card, ["mldfa"])
    assert dict(zip(rows["metric"], rows["value"], strict=True)) == {"mae": 0.81, "corr": 0.672}
    assert rows["source"].str.contains("features").all()
