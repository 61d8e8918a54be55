"""`opinions`: every dial acts and only where it should; a reader of the raw features reaches the ceiling; labels are exact."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from workbench.data.simulator.cues import CUES
from workbench.data.simulator.grammar import EVIDENCE
from workbench.data.simulator.rendering import kernel
from workbench.data.simulator.synthetic import PRESETS, Dials, ceilings, opinions, preset_dials, simulate

ALL = ("text", "audio", "vision")
FRAMES = {"audio": ("shared", "unique", "sarcasm"), "vision": ("shared", "unique")}
MANY = {"train": 4000, "valid": 1, "test": 1}
FEW = {"train": 200, "valid": 20, "test": 20}


def by_all(value):
    return dict.fromkeys(ALL, value)


def read_symbols(data, split):
    """Reads the symbols off the raw features: words by look-up, bumps by the strongest answer of a filter moved over all times."""
    column, words, n = split.columns, data.spec.modalities["text"].vocabulary, len(split)
    meaning = {cue: {word: level for level, choice in EVIDENCE[cue].items() for word in choice} for cue in ("shared", "unique")}
    seen = {f"{name}_missing": np.zeros(n, bool) for name in ALL}
    for cue, level in meaning.items():
        seen[f"text_{cue}_symbol"] = np.array([sum(level.get(words[i], 0) for i in column["text"][row].tolist()) for row in range(n)])
    for name, cues in FRAMES.items():
        shape, scale = kernel(name), 10 ** (2 * data.notes["dials"]["hardness"][name])
        for channel, cue in enumerate(cues):
            answers = []
            for row in range(n):
                values = column[name][row][:, channel].numpy().astype(float) * scale
                answer = np.correlate(values - np.median(values), shape, mode="valid") / (shape @ shape)
                answers.append(answer[np.abs(answer).argmax()])
            level = np.round(np.array(answers) / (6 if cue == "sarcasm" else 3)).astype(int)
            seen[f"{name}_{cue}_symbol"] = np.clip(level, 0, 1) if cue == "sarcasm" else np.clip(level, -2, 2)
    return seen


def posterior(dials, seen, subset):
    """Bayes' rule over all 512 states, written without the package: values of y and P(y | symbols), `samples states`."""
    grid = np.array(np.meshgrid(*[[-2, -1, 1, 2]] * 4, [0, 1], indexing="ij")).reshape(5, -1)
    s, own, k = grid[0], dict(zip(ALL, grid[1:4], strict=True)), grid[4]
    total = np.where(k == 1, -1, 1) * own["text"] + own["audio"] + own["vision"]
    y = np.clip(np.sqrt(dials.redundancy) * s + np.sqrt((1 - dials.redundancy) / 3) * total, -3, 3).round(6)
    weight = np.where(k == 1, dials.synergy / 2, 1 - dials.synergy / 2)[None]
    for name in subset:
        p = getattr(dials.informativeness, name)
        for truth, cue in ((s, "shared"), (own[name], "unique")):
            symbol = seen[f"{name}_{cue}_symbol"][:, None]
            weight = weight * np.where(symbol == 0, 1 - p, p * ((1 - dials.noise) * (symbol == truth) + dials.noise / 4))
        if name == "audio":
            marked = p * ((1 - dials.noise) * k + dials.noise / 2)
            weight = weight * np.where(seen["audio_sarcasm_symbol"][:, None] == 1, marked, 1 - marked)
    return y, weight / weight.sum(1, keepdims=True)


@pytest.mark.parametrize("preset", ["balanced", "starved", "noisy"])
def test_an_oracle_reads_the_raw_features_and_reaches_the_ceiling(preset):
    data = opinions(preset, train=1, valid=1, test=3000, seed=5)
    split, dials, n = data["test"], PRESETS[preset], 3000
    seen = read_symbols(data, split)
    for name, cues in {"text": ("shared", "unique"), **FRAMES}.items():
        for cue in cues:
            assert np.mean(seen[f"{name}_{cue}_symbol"] == split.evidence[f"{name}_{cue}_symbol"]) > 0.999, (name, cue)
    truth = split.target.double().numpy().round(6)
    for key, subset in {"text": ALL[:1], "audio": ALL[1:2], "text+audio": ALL[:2], "audio+vision": ALL[1:], "all": ALL}.items():
        y, weight = posterior(dials, seen, subset)
        order = np.argsort(y)
        median = y[order][(np.cumsum(weight[:, order], axis=1) < 0.5 - 1e-9).sum(1)]
        right = (weight[:, y < 0].sum(1) > 0.5) == (truth < 0)
        error, mean = np.abs(median - truth), weight @ y
        best = data.ceiling[key]
        assert right.mean() == pytest.approx(best["acc2_has0"], abs=3.5 * np.sqrt(0.25 / n)), key
        assert error.mean() == pytest.approx(best["mae"], abs=3.5 * error.std() / np.sqrt(n)), key
        assert np.corrcoef(mean, truth)[0, 1] == pytest.approx(best["corr"], abs=4 * (1 - best["corr"] ** 2) / np.sqrt(n) + 1e-3), key


def test_labels_are_what_each_modality_alone_says():
    data = opinions(**FEW, seed=2, synergy=0.6)
    split, dials = data["train"], preset_dials(synergy=0.6)
    for name in ALL:
        y, weight = posterior(dials, split.evidence, (name,))
        assert split.labels[name].numpy() == pytest.approx(weight @ y, abs=1e-5)
    y, weight = posterior(dials, split.evidence, ALL)
    assert split.evidence["best_prediction"] == pytest.approx(weight @ y, abs=1e-9)


def test_means_over_time_are_enough_for_a_linear_reader():
    # LF-DNN averages over time: the cues must survive it
    data = opinions(train=1500, valid=1, test=1500, seed=1)
    for name, cues in FRAMES.items():
        pooled = {key: np.stack([data[key].columns[name][i].numpy().mean(0) for i in range(1500)]) for key in ("train", "test")}
        for cue in cues:
            symbol = {key: data[key].evidence[f"{name}_{cue}_symbol"] for key in ("train", "test")}
            reader = LogisticRegression(C=1e4, max_iter=3000).fit(pooled["train"], symbol["train"])
            assert reader.score(pooled["test"], symbol["test"]) > 0.97, (name, cue)


# ------------------------------------------------------------------ each dial acts


def test_informativeness_is_the_share_of_cues_shown():
    shown = {"text": 0.9, "audio": 0.5, "vision": 0.2}
    evidence = opinions(**MANY, informativeness=shown, noise=0.0)["train"].evidence
    for name in ALL:
        for cue, truth in (("shared", evidence["shared"]), ("unique", evidence[f"{name}_unique"])):
            symbol = evidence[f"{name}_{cue}_symbol"]
            assert np.mean(symbol != 0) == pytest.approx(shown[name], abs=0.03)
            assert (symbol[symbol != 0] == truth[symbol != 0]).all()
    marked = evidence["audio_sarcasm_symbol"] == 1
    assert not marked[~evidence["sarcasm"]].any() and marked[evidence["sarcasm"]].mean() == pytest.approx(0.5, abs=0.1)


def test_noise_draws_shown_levels_anew():
    evidence = opinions(**MANY, informativeness=by_all(1.0), noise=0.4)["train"].evidence
    for name in ALL:
        assert np.mean(evidence[f"{name}_shared_symbol"] != evidence["shared"]) == pytest.approx(0.4 * 3 / 4, abs=0.03)


def test_redundancy_is_the_shared_cues_share_of_the_variance():
    for share in (0.0, 0.3, 1.0):
        split = opinions(**MANY, redundancy=share)["train"]
        explained = np.corrcoef(split.evidence["shared"], split.target)[0, 1] ** 2
        assert explained == pytest.approx(share, abs=0.05)


def test_synergy_turns_the_words_round():
    for synergy in (0.0, 0.5, 1.0):
        split = opinions(**MANY, synergy=synergy, redundancy=0.0)["train"]
        assert split.evidence["sarcasm"].mean() == pytest.approx(synergy / 2, abs=0.03)
        slope = np.cov(split.evidence["text_unique"], split.target)[0, 1] / np.cov(split.evidence["audio_unique"], split.target)[0, 1]
        assert slope == pytest.approx(1 - synergy, abs=0.12)


def test_lag_shifts_voice_and_face():
    # the same seed draws the same sentences: the voice's cues move by the lag, the face's by up to it, early or late
    still, moved = (opinions(train=1500, valid=1, test=1, lag=lag)["train"].evidence for lag in (0.0, 1.0))
    late = (moved["audio_shared_time"] - still["audio_shared_time"])[still["audio_shared_symbol"] != 0]
    assert late == pytest.approx(1.0, abs=1e-9)
    shift = (moved["vision_shared_time"] - still["vision_shared_time"])[still["vision_shared_symbol"] != 0]
    assert shift.min() < -0.8 and shift.max() > 0.9 and shift.std() > 0.4
    assert (moved["text_shared_position"] == still["text_shared_position"]).all()


def test_idiosyncrasy_sets_speakers_apart():
    def between(value):
        split = opinions(**{**MANY, "train": 2000}, idiosyncrasy=value, informativeness=by_all(0.0), speakers=20)["train"]
        mean = np.stack([split.columns["vision"][i].numpy().mean(0) for i in range(2000)])
        return np.stack([mean[split.evidence["speaker"] == s].mean(0) for s in range(20)]).std(0)

    quiet, loud = between(0.0), between(4.0)
    assert (loud[:2] > 0.3).all() and (quiet[:2] < 0.02).all()  # 4 x .16 = .64 in expectation
    assert loud[2:] == pytest.approx(quiet[2:])


def test_hardness_of_frames_scales_them_and_nothing_else():
    plain, hard = opinions(**FEW)["train"], opinions(**FEW, hardness={"audio": 0.5})["train"]
    assert torch.allclose(hard.columns["audio"].values, plain.columns["audio"].values / 10, atol=1e-7)
    assert torch.equal(hard.columns["vision"].values, plain.columns["vision"].values)
    assert hard.texts == plain.texts and torch.equal(hard.target, plain.target)
    assert all(np.array_equal(hard.evidence[key], plain.evidence[key], equal_nan=True) for key in plain.evidence if key != "sarcasm")


def test_hardness_of_text_spreads_a_level_over_more_words():
    for hardness, count in ((0.0, 2), (1.0, 12)):
        split = opinions(**MANY, hardness={"text": hardness})["train"]
        for cue in ("shared", "unique"):
            places = split.evidence[f"text_{cue}_position"]
            used = {text.split()[place] for text, place in zip(split.texts, places, strict=True) if place >= 0}
            assert len(used) == 4 * count


def test_hardness_leaves_the_ceiling():
    assert ceilings(preset_dials(hardness=by_all(1.0))) == ceilings(preset_dials())


def test_missing_modalities_are_zero_or_unknown_and_say_nothing():
    split = opinions(**MANY, missing={"text": 0.5, "audio": 0.25})["train"]
    away = {name: split.evidence[f"{name}_missing"] for name in ALL}
    assert [away[name].mean() for name in ALL] == pytest.approx([0.5, 0.25, 0.0], abs=0.03)
    assert np.mean(away["text"] & away["audio"]) == pytest.approx(0.125, abs=0.02)
    for i in range(300):
        assert ((split.columns["text"][i] == 1).all() == away["text"][i]) and (set(split.texts[i].split()) == {"<unknown>"}) == away["text"][i]
        assert (split.columns["audio"][i] == 0).all() == away["audio"][i]
    for name in ("text", "audio"):
        assert split.labels[name].numpy()[away[name]] == pytest.approx(0, abs=1e-6)
        assert (split.evidence[f"{name}_shared_symbol"][away[name]] == 0).all()
    assert (split.evidence["text_shared_position"][away["text"]] == -1).all()


def test_missing_frames_are_zero_and_missing_words_unknown():
    plain = opinions(train=1000, valid=1, test=1)["train"]
    split = opinions(train=1000, valid=1, test=1, missing={"text": 0.3, "vision": 0.6}, missing_kind="frames")["train"]
    assert (split.columns["text"].values == 1).double().mean() == pytest.approx(0.3, abs=0.02)
    gone = (split.columns["vision"].values == 0).all(1)
    assert gone.double().mean() == pytest.approx(0.6, abs=0.02)
    assert torch.equal(split.columns["vision"].values[~gone], plain.columns["vision"].values[~gone])
    assert torch.equal(split.columns["audio"].values, plain.columns["audio"].values)
    assert np.mean(split.evidence["text_shared_symbol"] != 0) == pytest.approx(0.8 * 0.7, abs=0.04)
    assert not split.evidence["vision_missing"].any()


def test_missing_frames_that_hide_a_whole_bump_hide_its_symbol():
    split = opinions(train=300, valid=1, test=1, missing={"audio": 1.0}, missing_kind="frames")["train"]
    assert not split.columns["audio"].values.any()
    assert not any(split.evidence[f"audio_{cue}_symbol"].any() for cue in CUES["audio"])


def test_names_are_drawn_from_as_many_as_asked():
    for count in (4, 500):
        data = opinions(**MANY, names=count)
        used = set(data["train"].columns["text"].values.tolist()) & set(range(len(data.spec.modalities["text"].vocabulary))[-count:])
        assert len(used) == count


def test_speakers_and_sizes():
    data = opinions(train=100, valid=30, test=50, speakers=7)
    assert [len(data[name]) for name in ("train", "valid", "test")] == [100, 30, 50]
    assert [len(set(data[name].groups)) for name in ("train", "valid", "test")] == [7, 7, 7]
    assert len(opinions(samples=10, valid=1, test=1)["train"]) == 10


# ------------------------------------------------------------------ the data set as a whole


def test_splits_share_no_speaker_and_ids_are_unique():
    data = opinions(**FEW)
    groups = [set(split.groups) for split in data.splits.values()]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    ids = [name for split in data.splits.values() for name in split.ids]
    assert len(set(ids)) == len(ids) == 240


def test_same_seed_same_data_other_seed_other_data():
    one, same, other = opinions(**FEW, seed=4)["test"], opinions(**FEW, seed=4)["test"], opinions(**FEW, seed=5)["test"]
    assert one.texts == same.texts and torch.equal(one.target, same.target)
    assert all(torch.equal(one.columns[name].values, same.columns[name].values) for name in ALL)
    assert one.texts != other.texts and not torch.equal(one.target, other.target)


def test_splits_of_one_seed_differ():
    data = opinions(train=20, valid=20, test=20)
    assert len({tuple(split.texts) for split in data.splits.values()}) == 3


def test_spec_describes_the_data():
    data = opinions("redundant", **FEW)
    assert data.name == "opinions/redundant" and data.modalities == ALL
    for name, spec in data.spec.modalities.items():
        assert spec.length == max(int(split.columns[name].lengths.max()) for split in data.splits.values())
    assert [data.spec.modalities[name].rate for name in ALL] == [None, 20.0, 15.0]
    assert data.spec.task.kind == "regression" and float(data["train"].target.abs().max()) <= 3
    assert all(len(values) == 200 for values in data["train"].evidence.values())
    assert data.ceiling == ceilings(PRESETS["redundant"])
    assert data["train"].take([3, 1]).evidence["audio_shared_window"].shape == (2, 2)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_simulates(preset):
    assert len(opinions(preset, **FEW)["train"]) == 200


def test_simulate_takes_dials():
    assert simulate(Dials(train=3, valid=2, test=1), seed=1).name == "opinions"
