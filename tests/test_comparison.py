"""Runs side by side: what stands together, what is told apart, ranks, fronts, published rows; on made runs whose answers are known."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from workbench import pairing
from workbench.comparison import finished, gather, published, say_machines, say_table, small_set
from workbench.data import load
from workbench.data.batch import ModalitySpec, Spec, TaskSpec
from workbench.errors import ConfigError, DataError, WorkbenchError
from workbench.pairing import pairs, say_groups, say_pairs, unbeaten
from workbench.runs import Run
from workbench.standing import front, ranks, say_front

SPEC = json.loads(json.dumps(asdict(Spec({"text": ModalitySpec("vector", 3, 1)}, TaskSpec("regression", low=-3, high=3)))))
TRUTH = np.random.default_rng(0).uniform(0.5, 3, 120) * np.where(np.arange(120) % 2, 1, -1)


def made(variant: str, seed: int = 0, *, wrong: object = (), truth: np.ndarray = TRUTH, dataset: str = "toy", ids: list[str] | None = None,
         notes: dict | None = None, metrics: dict | None = None, **config: object) -> Run:  # fmt: skip
    """A finished run in memory: right about the sign of every sample but those that are `wrong`."""
    said = truth.copy()
    said[list(wrong)] *= -1
    scores = {"acc2_non0": float(((said > 0) == (truth > 0)).mean()), "mae": float(np.abs(said - truth).mean())}
    config = {"method": "lf_dnn", "balance": None, "config": {}, "balance_config": {}, "modalities": ["text"], **config}
    config |= {
        "dataset": dataset,
        "variant": variant,
        "plan": {"seed": seed, "epochs": 3},
        "headline": "acc2_non0",
        "spec": SPEC,
        "notes": notes or {},
    }
    config = {"counts": {"test": len(truth)}, "environment": {"device": "CPU"}, **config}
    run = Run(
        Path(f"{variant}-{seed}"), config, {"valid": scores, "test": scores, "best_epoch": 1, "seconds": 1.0, "parameters": 100, **(metrics or {})}
    )
    table = xr.Dataset({"prediction": ("sample", said), "target": ("sample", truth)}, {"sample": ids or [f"s{i}" for i in range(len(truth))]})
    history = xr.Dataset({"seconds": ("epoch", [9.0, 0.5, 0.5])}, {"epoch": [1, 2, 3]})
    run.__dict__["trace"] = xr.DataTree.from_dict({"history": history, "predictions/test": table, "predictions/valid": table})
    return run


def seeds(variant: str, wrong: int, *, n: int = 4, **settings: object) -> list[Run]:
    """Runs of some seeds, each wrong about so many samples (and about one more in every second seed), other samples in each seed."""
    random = np.random.default_rng(wrong)
    return [made(variant, seed, wrong=random.permutation(120)[: wrong + seed % 2], **settings) for seed in range(n)]


# What stands together


def test_a_row_a_run_better_first_and_a_seed_counts_once():
    frame = gather([*seeds("weak", 40), *seeds("strong", 5), made("strong", 0)])
    assert list(dict.fromkeys(frame["variant"])) == ["strong", "weak"]
    assert len(frame) == 8
    row = frame.iloc[0]
    assert (row["metric"], row["title"], row["parameters"], row["seconds"]) == ("acc2_non0", "Acc-2 (negative / positive)", 100, 0.5)
    assert (row["family"], row["balance"], row["dataset"]) == ("encoder_decoder", "none", "toy")
    assert row["value"] == pytest.approx(115 / 120)
    assert list(dict.fromkeys(gather([*seeds("weak", 40), *seeds("strong", 5)], metric="mae")["variant"])) == ["strong", "weak"]


def test_other_settings_under_one_name_are_told_apart_by_the_fewest_words():
    runs = [made("joint", seed, config={"hidden_size": size, "post_size": size}) for size in (4, 8) for seed in (0, 1)]
    frame = gather(runs, has_seconds=False)
    assert sorted(set(frame["variant"])) == ["joint (config.hidden_size=4)", "joint (config.hidden_size=8)"]
    assert set(frame["differs"]) == {"config.hidden_size=4, config.post_size=4", "config.hidden_size=8, config.post_size=8"}
    assert frame["seconds"].isna().all()
    other = gather([made("joint"), made("joint", method="lmf", config={"rank": 3})])
    assert set(other["variant"]) == {"joint (method=lf_dnn)", "joint (method=lmf)"}


def test_data_that_is_not_the_same_is_told_apart_and_one_modality_of_it_is_the_same():
    dials = [{"dials": {"hardness": {"text": 0.0, "audio": level}, "train": 100}} for level in (0.0, 0.9)]
    frame = gather([made("joint", notes=found) for found in dials])
    assert set(frame["dataset"]) == {"toy (hardness.audio=0.0)", "toy (hardness.audio=0.9)"}
    viewed = gather([made("joint"), made("joint", notes={"view": {"label_noise": 0.2, "view_seed": 3}}), made("text alone", modalities=["text"])])
    assert viewed.groupby("dataset")["variant"].apply(list).to_dict() == {
        "toy (view.label_noise=0.2)": ["joint"],
        "toy (view.label_noise=None)": ["joint", "text alone"],
    }
    assert set(viewed["view"]) == {"", "label_noise=0.2"}


def test_what_is_asked_for_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match='unknown split "tset". Did you mean test'):
        gather([made("a")], split="tset")
    with pytest.raises(ConfigError, match='unknown metric "mea". Did you mean mae'):
        gather([made("a")], metric="mea")
    with pytest.raises(WorkbenchError, match=r"no finished run in[\s\S]*workbench train"):
        finished(tmp_path)


def test_a_score_that_is_no_number_stays_a_gap():
    frame = gather([made("a", 0), made("a", 1, metrics={"test": {"acc2_non0": None}})])
    assert frame["value"].isna().tolist() == [False, True]


def test_unlike_machines_are_said():
    assert say_machines(gather([made("a"), made("b")])) == "All seconds come from one kind of machine."
    said = say_table(gather([made("a"), made("b", environment={"device": "H200"})]))
    assert said.startswith("Rows with one seed are not ranked. Seconds come from 2 kinds of machines or thread counts (1, 1 runs)")
    assert say_table(gather(seeds("a", 5))) == "All seconds come from one kind of machine."


# Published numbers


def test_published_rows_of_the_methods_in_the_table_say_what_is_not_as_here():
    frame = gather([made("mine", dataset="mosi", method="tfn"), made("other", dataset="mosi", method="awf")])
    rows = published(frame)
    assert {name.split(" ")[0].split("/")[0] for name in rows["variant"]} == {"tfn", "awf"}
    assert set(rows["metric"]) == {"acc2_non0"}
    assert all(source.startswith("other features") for source in rows["source"])
    awf = rows[rows["variant"].str.startswith("awf in AWF Table 4")]
    assert awf["value"].tolist() == [0.8628]
    noisy = published(gather([made("mine", dataset="mosi", method="tfn", notes={"view": {"label_noise": 0.2}})]))
    assert noisy["source"].str.startswith("other data here (label_noise=0.2); other").all()
    assert list(published(gather([made("mine")])).columns) == ["dataset", "variant", "metric", "value", "source"]


# Pairs


def test_a_large_difference_is_found_over_both_and_a_small_one_is_a_tie():
    found = pairs(gather([*seeds("strong", 4), *seeds("also strong", 5), *seeds("weak", 60)]), draws=2000)
    verdicts = {(row.first, row.second): (row.found, row.verdict) for row in found.itertuples()}
    assert verdicts["strong", "weak"] == ("both", "above") == verdicts["also strong", "weak"]
    assert verdicts["strong", "also strong"][1] == "="
    row = found[(found["first"] == "strong") & (found["second"] == "weak")].iloc[0]
    assert row["mean"] == row["seeds_mean"] == pytest.approx(56 / 120)
    assert (row["mcnemar"], row["seeds"], row["groups"], row["unit"]) == (4, 4, 120, "sample")
    assert row["p_holm"] >= row["p"]
    assert unbeaten(found) == ["strong", "also strong"]
    assert say_pairs(found) == (
        "On toy 2 of 3 pairs are told apart over samples and seeds (Holm, n = 4 seeds, 120 samples); not beaten by any: strong, also strong (tied)."
    )
    assert "not known here: each of 120 samples is its own" in say_groups(found)
    assert say_pairs(found[:1].assign(verdict="=")).startswith("On toy none of 1 pairs is told apart")


def test_smaller_is_better_for_errors():
    found = pairs(gather([*seeds("weak", 60), *seeds("strong", 4)], metric="mae"), draws=1000)
    assert (found["first"][0], found["mean"][0] < 0, found["verdict"][0], found["mcnemar"][0]) == ("strong", True, "above", -1)


def test_one_seed_tells_two_models_apart_and_not_two_methods():
    found = pairs(gather([made("strong"), made("weak", wrong=range(60))]), draws=1000).iloc[0]
    assert (found["found"], found["verdict"], found["seeds"]) == ("samples", "=", 1)
    assert np.isnan(found["seeds_p"])


def test_equal_models_are_a_tie():
    found = pairs(gather([*seeds("a", 10), *seeds("b", 10)]), draws=500)
    assert found[["mean", "p", "found", "verdict", "mcnemar"]].iloc[0].tolist() == [0.0, 1.0, "neither", "=", 0]


def test_whole_videos_are_drawn_where_they_are_known(monkeypatch):
    """The worse model fails on one video of four only: 60 samples, one piece of evidence."""
    videos = {f"s{i}": f"video {min(3, i // 60 + i % 60 // 30)}" if i >= 60 else "video 0" for i in range(120)}
    runs = [*seeds("strong", 0, n=3), *(made("weak", seed, wrong=range(50 + seed)) for seed in range(3))]
    alone = pairs(gather(runs), draws=1000).iloc[0]
    monkeypatch.setattr(pairing, "_groups_of", lambda run, split: videos)
    found = pairs(gather(runs), draws=1000).iloc[0]
    assert (alone["unit"], alone["found"], alone["groups"]) == ("sample", "both", 120)
    assert (found["unit"], found["found"], found["groups"]) == ("group", "seeds", len(set(videos.values())))
    assert found["p"] == 1.0 or found["p"] >= 0.5
    assert "groups (videos, speakers) are drawn whole" in say_groups(found.to_frame().T)


def test_speakers_of_other_draws_are_other_speakers():
    """Data drawn anew for each seed has other samples of the same names."""
    draws = [np.random.default_rng(seed).uniform(-3, 3, 60) for seed in range(3)]
    runs = [made(name, seed, truth=draws[seed], wrong=range(wrong)) for name, wrong in (("a", 2), ("b", 25)) for seed in range(3)]
    assert pairs(gather(runs), draws=200)["groups"].tolist() == [180]


def test_what_shares_no_sample_is_not_compared():
    others = [f"t{i}" for i in range(120)]
    with pytest.raises(DataError, match="no two runs to compare"):
        pairs(gather([made("a"), made("b", ids=others)]))


def test_groups_come_from_the_data_set():
    sizes = {"preset": "starved", "seed": 1, "train": 20, "valid": 10, "test": 30}
    data = load("opinions/starved", **{key: value for key, value in sizes.items() if key != "preset"})
    run = made("a", dataset="opinions/starved", notes={"card": "opinions", "options": sizes})
    assert pairing._groups_of(run, "test") == dict(zip(data["test"].ids, data["test"].groups, strict=True))
    assert pairing._groups_of(made("a", dataset="mosi", notes={"card": "mosi"}), "test") is None
    assert pairing._groups_of(made("a", dataset="gone", notes={"card": "gone"}), "test") is None


# Ranks and costs


def test_ranks_over_the_data_sets_that_share_three_variants():
    runs = [run for dataset in ("one", "two") for name, wrong in (("a", 2), ("b", 20), ("c", 50)) for run in seeds(name, wrong, dataset=dataset)]
    runs += seeds("stranger", 9, dataset="three")
    found = ranks(gather(runs))
    assert found["variant"].tolist() == ["a", "b", "c"]
    assert found["rank"].tolist() == [1.0, 2.0, 3.0]
    assert (found["blocks"][0], found["datasets"][0], found["seeds"][0]) == (8, "one, two", 4)
    assert found["critical"][0] == pytest.approx(2.343 * np.sqrt(12 / 48), rel=1e-3)
    assert found["ties"].tolist() == [(0,), (0, 1), (1,)]
    assert ranks(gather(runs, metric="mae"))["variant"].tolist() == ["a", "b", "c"]
    with pytest.raises(DataError, match="three variants or more with two common seeds"):
        ranks(gather(seeds("a", 3)))


def test_the_front_has_no_cheaper_variant_that_is_better():
    runs = []
    for name, wrong, size in (("cheap", 50, 10), ("middle", 4, 20), ("waste", 60, 30), ("dear", 3, 40)):
        runs += seeds(name, wrong, metrics={"parameters": size})
    frame = gather(runs)
    assert front(frame, "parameters") == ["cheap", "middle", "dear"]
    said = say_front(frame, "parameters", pairs(frame, draws=1000))
    assert said.startswith("toy, from cheap to dear: cheap (.579, 10 parameters), middle (")
    assert said.endswith("Worth it? middle over cheap: found; dear over middle: a tie.")
    assert front(gather(runs, metric="mae"), "parameters") == ["cheap", "middle", "dear"]
    assert "nothing dearer has a higher mean" in say_front(frame[frame["variant"].isin(["middle", "waste"])], "parameters", pairs(frame, draws=100))
    assert say_front(frame.assign(seconds=np.nan), "seconds", pairs(frame, draws=100)) == "toy: no seconds known."


def test_the_small_set_is_trained_once(tmp_path):
    asked = {"seeds": 1, "samples": 24, "plan": {"epochs": 1}, "runs": tmp_path, "workers": 1}
    runs = small_set(["opinions/starved"], ["lf_dnn"], **asked)
    assert [run.variant for run in runs] == ["lf_dnn", "lf_dnn + b_fusion", "text alone"]
    assert [run.id for run in small_set(["opinions/starved"], ["lf_dnn"], **asked)] == [run.id for run in runs]
    assert [run.id for run in finished(tmp_path)] == sorted(run.id for run in runs)
    found = pairs(gather(runs), draws=100)
    assert set(found["unit"]) == {"group"}
    assert len(found) == 3
