"""`opinions` asked for six emotions: the same samples, the card's rules, exact posteriors, ceilings that Bayes' rule reaches; sentiment as it was."""

import hashlib
import json

import numpy as np
import pytest
import torch

from workbench import cases
from workbench.data import convert, load
from workbench.data.card import card as find_card
from workbench.data.simulator.emotions import EMOTIONS, RULES, TABLE
from workbench.data.simulator.synthetic import PRESETS, ceilings, opinions, preset_dials
from workbench.errors import ConfigError, DataError
from workbench.experiments import compare
from workbench.probes.label_errors import label_errors
from workbench.probes.linear import probe_runs
from workbench.studies import ceiling_of
from workbench.tasks import make_task, metrics_of

ALL = ("text", "audio", "vision")
SUBSETS = {"text": ALL[:1], "audio": ALL[1:2], "vision": ALL[2:], "text+audio": ALL[:2], "text+vision": ALL[::2], "audio+vision": ALL[1:], "all": ALL}
SHARES = {"happy": 1 / 2, "sad": 1 / 4, "anger": 3 / 16, "surprise": 1 / 8, "disgust": 1 / 8, "fear": 1 / 16}
FEW = {"train": 60, "valid": 20, "test": 30}
# Every hidden state, `cue state`: shared, text's, audio's, vision's own cue, sarcasm.
STATES = np.array(np.meshgrid(*[[-2, -1, 1, 2]] * 4, [0, 1], indexing="ij")).reshape(5, -1)


def emotions(shared, text, voice, face, sarcasm):
    """The card's table, without the package: `... emotion`."""
    words = np.where(sarcasm == 1, -text, text)
    anger = ((words == -2) & (face < 0)) | ((words < 0) & (face == -2))
    surprise, fear = (face == 2) & (voice >= 1), (face == 2) & (shared == -2)
    return np.stack([shared >= 1, voice == -2, anger, surprise, (words == -2) & (shared <= -1), fear], -1)


def chances(dials, seen, subset):
    """P(emotion | symbols of a subset) by Bayes' rule over all 512 states, `samples emotion`."""
    s, own, k = STATES[0], dict(zip(ALL, STATES[1:4], strict=True)), STATES[4]
    weight = np.where(k == 1, dials.synergy / 2, 1 - dials.synergy / 2)[None]
    for name in subset:
        p, here = dials.informativeness[name], seen[f"{name}_missing"][:, None]
        for truth, cue in ((s, "shared"), (own[name], "unique")):
            symbol = seen[f"{name}_{cue}_symbol"][:, None]
            weight = weight * np.where(here, 1.0, np.where(symbol == 0, 1 - p, p * ((1 - dials.noise) * (symbol == truth) + dials.noise / 4)))
        if name == "audio":
            marked = p * ((1 - dials.noise) * k + dials.noise / 2)
            weight = weight * np.where(here, 1.0, np.where(seen["audio_sarcasm_symbol"][:, None] == 1, marked, 1 - marked))
    return weight @ emotions(*STATES) / weight.sum(1, keepdims=True)


def test_the_rules_and_their_shares():
    words = STATES[:, STATES[4] == 0]
    present = emotions(*words)
    assert dict(zip(EMOTIONS, present.mean(0), strict=True)) == SHARES
    assert np.array_equal(TABLE.reshape(-1, 6), present)
    assert sorted(set(present.sum(1))) == [0, 1, 2, 3]
    assert list(RULES) == list(EMOTIONS) == list(find_card("mosei_emotions_csd").task.classes)


@pytest.mark.parametrize("synergy", [0.0, 0.2, 1.0])
def test_the_target_is_the_function_of_the_planted_cues(synergy):
    split = opinions("emotions", train=8000, valid=1, test=1, synergy=synergy)["train"]
    cues = [split.evidence[name] for name in ("shared", "text_unique", "audio_unique", "vision_unique")]
    assert np.array_equal(split.target.numpy(), emotions(*cues, split.evidence["sarcasm"].astype(int)))
    assert split.target.mean(0).tolist() == pytest.approx(list(SHARES.values()), abs=0.02)
    assert split.target.dtype == torch.float32 and float(split.target.mean(0).min()) > 0.05


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "emotions"])
def test_only_the_question_differs(preset):
    asked, plain = (load(f"opinions/{preset}", seed=2, **FEW, **more) for more in ({"task": "emotions"}, {}))
    for name in ("train", "valid", "test"):
        one, other = asked[name], plain[name]
        assert (one.ids, one.groups, one.texts) == (other.ids, other.groups, other.texts)
        assert all(one.columns[key].sum() == other.columns[key].sum() for key in ALL)
        kept = set(one.evidence) - {"best_prediction"}
        assert set(one.evidence) == set(other.evidence)
        assert all(np.array_equal(one.evidence[key], other.evidence[key], equal_nan=True) for key in kept)
    assert asked.spec.modalities == plain.spec.modalities
    assert (asked.spec.task.kind, asked.spec.task.classes, asked.spec.task.headline) == ("multilabel", EMOTIONS, "accuracy")
    assert asked.notes["dials"] == {**plain.notes["dials"], "task": "emotions"} and asked.notes["emotions"] == RULES


def test_the_preset_is_balanced_asked_for_emotions():
    one, other = load("opinions/emotions", **FEW), load("opinions/balanced", task="emotions", **FEW)
    assert torch.equal(one["test"].target, other["test"].target) and one.ceiling == other.ceiling == ceilings(preset_dials("emotions"))
    assert one.name == "opinions/emotions"
    with pytest.raises(ConfigError, match="dial task cannot be 'moods'"):
        load("opinions/emotions", task="moods")


# Sums taken before there were emotions: texts, scores, symbols and places to the bit, frames and posteriors to rounding.
BEFORE = [
    ("balanced", {}, "5c6a7257cc3ed644", (27692.55, 22891.671), 44.49101, 65.02324),
    ("starved", {"seed": 3}, "0c5f8f20dc6fadc8", (346.772, 285.535), 62.91243, 73.63431),
    ("noisy", {"seed": 1, "missing": {"text": 0.2, "audio": 0.3}}, "f83ebb9bdeadce49", (19235.486, 23478.915), 19.53802, 42.52782),
]


@pytest.mark.parametrize(("preset", "options", "expected", "frames", "alone", "best"), BEFORE)
def test_sentiment_is_what_it_was(preset, options, expected, frames, alone, best):
    data, digest = opinions(preset, **FEW, **options), hashlib.sha256()
    for split in data.splits.values():
        digest.update(json.dumps([split.ids, split.groups, split.texts, np.round(split.target.double().numpy(), 5).tolist()]).encode())
        for name, values in sorted(split.evidence.items()):
            if name.endswith(("_symbol", "_position", "_window", "_missing", "_unique")) or name in ("shared", "sarcasm"):
                digest.update(name.encode() + np.asarray(values).astype(np.int64).tobytes())
    assert digest.hexdigest()[:16] == expected
    train = data["train"]
    assert [float(train.columns[name].values.double().abs().sum()) for name in ALL[1:]] == pytest.approx(frames, rel=1e-6)
    assert float(train.labels["audio"].double().abs().sum()) == pytest.approx(alone, rel=1e-5)
    assert float(np.abs(train.evidence["best_prediction"]).sum()) == pytest.approx(best, rel=1e-5)
    assert "task" not in data.notes["dials"], "runs of before have the same settings"
    assert set(data.ceiling["all"]) == {"acc2_has0", "acc2_non0", "mae", "corr"}


# ------------------------------------------------------------------ what can be known


@pytest.mark.parametrize("change", [{"synergy": 0.6}, {"missing": {"text": 0.3, "audio": 0.4, "vision": 0.2}}])
def test_labels_are_the_posteriors_of_each_modality(change):
    split, dials = opinions("emotions", **FEW, seed=2, **change)["train"], preset_dials("emotions", **change)
    for name in ALL:
        assert split.labels[name].shape == (60, 6)
        assert split.labels[name].numpy() == pytest.approx(chances(dials, split.evidence, (name,)), abs=1e-6)
    assert split.evidence["best_prediction"] == pytest.approx(chances(dials, split.evidence, ALL), abs=1e-9)


@pytest.mark.parametrize("preset", ["balanced", "starved", "synergy", "noisy"])
def test_a_bayes_reader_reaches_the_ceilings(preset):
    n = 5000
    data = opinions(preset, task="emotions", train=1, valid=1, test=n, seed=4, missing={"vision": 0.1})
    split, dials, task = data["test"], preset_dials(preset, missing={"vision": 0.1}), make_task(data.spec.task)
    said_any = float(split.target.any(1).float().mean())
    for key, subset in SUBSETS.items():
        known = chances(dials, split.evidence, subset).clip(1e-12, 1 - 1e-12)
        logits = torch.from_numpy(np.log(known / (1 - known)))
        scores, best = task.metrics(logits, split.target), data.ceiling[key]
        certain = task.metrics(torch.where(logits > 0, 50.0, -50.0), split.target)
        for name in ("accuracy_happy", "accuracy_sad", "accuracy_anger", "accuracy_surprise", "accuracy_disgust", "accuracy_fear"):
            assert scores[name] == pytest.approx(best[name], abs=3.5 * np.sqrt(best[name] * (1 - best[name]) / n) + 1e-9), (key, name)
        # the error of the mean of six answers is at most that of one
        assert scores["accuracy"] == pytest.approx(best["accuracy"], abs=3.5 * np.sqrt(best["accuracy"] * (1 - best["accuracy"]) / n)), key
        assert certain["mae"] == pytest.approx(best["mae"], abs=3.5 * np.sqrt(best["mae"] * (1 - best["mae"]) / n)), key
        assert scores["mae"] > certain["mae"], "honest probabilities are further from 0 and 1 than certain answers"
        top = best["accuracy_top"]
        assert scores["accuracy_top"] == pytest.approx(top, abs=3.5 * np.sqrt(top * (1 - top) / (n * said_any)) + 1e-9), key
        assert set(best) <= set(metrics_of(data.spec.task))


def test_emotions_need_different_modalities():
    found = ceilings(preset_dials("emotions"))
    gain = {key: {name: scores[f"accuracy_{name}"] - max(SHARES[name], 1 - SHARES[name]) for name in EMOTIONS} for key, scores in found.items()}
    assert all(gain[name]["happy"] > 0.3 for name in ALL), "every modality shows the shared cue"
    assert gain["audio"]["sad"] == pytest.approx(gain["all"]["sad"]) and gain["text+vision"]["sad"] == pytest.approx(0, abs=1e-9)
    assert all(gain[name]["anger"] < 0.001 for name in ALL) and gain["text+vision"]["anger"] > 0.08 and gain["all"]["anger"] > 0.09
    assert (
        all(gain[key]["surprise"] == pytest.approx(0, abs=1e-9) for key in (*ALL, "text+audio", "text+vision"))
        and gain["audio+vision"]["surprise"] > 0.06
    )
    assert gain["text+audio"]["disgust"] > gain["text"]["disgust"] + 0.02, "the voice says whether the words are meant"
    assert gain["vision"]["fear"] > 0.03 and gain["text+audio"]["fear"] == pytest.approx(0, abs=1e-9)


# ------------------------------------------------------------------ what reads labels and ceilings


def test_converted_data_keeps_the_probabilities(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    before = load("opinions/emotions", **FEW)
    convert("opinions/emotions", **FEW)
    after = load("opinions/emotions", **FEW)
    assert "converted" in after.notes and after.spec == before.spec and after.ceiling == before.ceiling
    for name, split in before.splits.items():
        assert torch.equal(after[name].target, split.target)
        assert all(torch.equal(after[name].labels[key], split.labels[key]) for key in ALL)
        assert np.array_equal(after[name].evidence["best_prediction"], split.evidence["best_prediction"])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    data = load("opinions/emotions", train=400, valid=40, test=300)
    variants = {"lf_dnn": {"method": "lf_dnn", "plan": {"epochs": 10}}, "self_mm": {"method": "self_mm", "plan": {"epochs": 1}}}
    return compare(data, variants, seeds=1, runs=tmp_path_factory.mktemp("runs"), has_progress=False), data


def test_a_training_learns_and_stays_below_the_ceiling(results):
    found, data = results
    scores = found.only("lf_dnn").runs[0].metrics["test"]
    assert found.headline == "accuracy" and set(metrics_of(data.spec.task)) == set(scores) - {"loss"}
    assert scores["accuracy"] > 4.75 / 6 + 0.03 and scores["accuracy_top"] > 0.5 / (205 / 256) + 0.05
    assert scores["accuracy"] < data.ceiling["all"]["accuracy"] + 0.02
    assert ceiling_of(data, "accuracy") == {name: data.ceiling[name]["accuracy"] for name in (*ALL, "all")}
    assert ceiling_of(data, "f1_micro") == {}


def test_cases_say_which_emotions_each_modality_shows(results):
    found, data = results
    told, split = cases.cases(found, data, count=6), data["test"]
    assert told[0].note == "sarcastic"
    for case in told:
        row = split.ids.index(case.sample)
        assert case.truth == (", ".join(name for name, yes in zip(EMOTIONS, split.target[row], strict=True) if yes) or "none")
        alone = split.labels["audio"][row] > 0.5
        assert case.alone_true["audio"] == (", ".join(name for name, yes in zip(EMOTIONS, alone, strict=True) if yes) or "none")


def test_labels_of_a_training_are_of_scores_only(results):
    found, data = results
    with pytest.raises(DataError, match="recorded no labels of its own making"):
        label_errors(found.only("self_mm").runs, data)


def test_a_probe_has_sides_and_no_probabilities(results):
    found, data = results
    probes = probe_runs(found.only("lf_dnn").runs, data)
    assert set(probes["metric"]) == set(metrics_of(data.spec.task)) - {"mae"}
    sad = probes[probes["metric"] == "accuracy_sad"].set_index("modality")["value"]
    assert sad["audio"] > max(sad["text"], sad["vision"])
