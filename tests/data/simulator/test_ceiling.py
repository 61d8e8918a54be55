"""The exact ceilings against a brute-force posterior that walks through every state and every observation, and against limits known by hand."""

from itertools import product

import numpy as np
import pytest

from workbench.data.simulator.ceiling import ceilings, emotion_chances, expectation, subset_name
from workbench.data.simulator.dials import PRESETS, preset_dials

ALL = ("text", "audio", "vision")
SUBSETS = [("text",), ("audio",), ("vision",), ("text", "audio"), ("text", "vision"), ("audio", "vision"), ALL]
EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
STATES = list(product((-2, -1, 1, 2), (-2, -1, 1, 2), (-2, -1, 1, 2), (-2, -1, 1, 2), (0, 1)))
BUMP_FRAMES = {"text": 1, "audio": 15, "vision": 11}


class World:
    """The written model of `opinions`, transcribed state by state with plain loops."""

    def __init__(self, *, informativeness, redundancy, synergy, noise, missing=(0, 0, 0), kind="modality"):
        self.planted, self.noise = dict(zip(ALL, informativeness, strict=True)), noise
        self.away = dict.fromkeys(ALL, 0.0)
        if kind == "modality":
            self.away = dict(zip(ALL, missing, strict=True))
        else:
            lost = zip(ALL, missing, strict=True)
            self.planted = {name: self.planted[name] * (1 - rate ** BUMP_FRAMES[name]) for name, rate in lost}
        self.prior = np.array([(synergy / 2 if k else 1 - synergy / 2) / 256 for *_, k in STATES])
        self.y = np.array([self.score(redundancy, *state) for state in STATES])
        self.present = np.array([self.emotions(*state) for state in STATES])
        self.seen = {name: self.observations(name) for name in ALL}
        self.likelihood = {name: np.array([[self.chance(name, seen, state) for state in STATES] for seen in self.seen[name]]) for name in ALL}

    @staticmethod
    def score(redundancy, s, t, a, v, k):
        y = redundancy**0.5 * s + ((1 - redundancy) / 3) ** 0.5 * ((-t if k else t) + a + v)
        return round(min(3.0, max(-3.0, y)), 6)

    @staticmethod
    def emotions(s, t, a, v, k):
        """The card's table, in words of its own."""
        meant = -t if k else t
        angry = (meant, v) in ((-2, -2), (-2, -1), (-1, -2))
        return [s in (1, 2), a == -2, angry, v == 2 and a in (1, 2), meant == -2 and s in (-2, -1), (s, v) == (-2, 2)]

    @staticmethod
    def observations(name):
        marks = (0, 1) if name == "audio" else (0,)
        return [None, *product((-2, -1, 0, 1, 2), (-2, -1, 0, 1, 2), marks)]

    def chance(self, name, seen, state):
        if seen is None:
            return self.away[name]
        s, t, a, v, k = state
        own = {"text": t, "audio": a, "vision": v}[name]
        chance = (1 - self.away[name]) * self.level(name, seen[0], s) * self.level(name, seen[1], own)
        if name == "audio":
            marked = self.planted[name] * ((1 - self.noise) * k + self.noise / 2)
            chance *= marked if seen[2] else 1 - marked
        return chance

    def level(self, name, symbol, truth):
        if symbol == 0:
            return 1 - self.planted[name]
        return self.planted[name] * ((1 - self.noise if symbol == truth else 0) + self.noise / 4)

    def ceiling(self, subset):
        """Walks through all observations of all modalities but the last one in a loop, those of the last one as rows."""
        *outer, last = subset
        values = np.unique(self.y)
        distance = np.abs(self.y[:, None] - values)
        right0 = right = other = error = second = 0.0
        for rows in product(*(range(len(self.seen[name])) for name in outer)):
            joint = self.prior * self.likelihood[last]
            for name, row in zip(outer, rows, strict=True):
                joint = joint * self.likelihood[name][row]
            negative, positive, weight = joint[:, self.y < 0].sum(1), joint[:, self.y > 0].sum(1), joint.sum(1)
            right0 += np.maximum(negative, joint[:, self.y >= 0].sum(1)).sum()
            right += np.maximum(negative, positive).sum()
            other += (negative + positive).sum()
            error += (joint @ distance).min(1).sum()
            mean = np.divide(joint @ self.y, weight, out=np.zeros(len(weight)), where=weight > 0)
            second += (weight * mean**2).sum()
        average = self.prior @ self.y
        variance = self.prior @ self.y**2 - average**2
        return {"acc2_has0": right0, "acc2_non0": right / other, "mae": error, "corr": max(0.0, (second - average**2) / variance) ** 0.5}

    def emotion_ceiling(self, subset):
        """The best answers to the six questions, observation by observation."""
        *outer, last = subset
        right, strongest = np.zeros(6), 0.0
        for rows in product(*(range(len(self.seen[name])) for name in outer)):
            joint = self.prior * self.likelihood[last]
            for name, row in zip(outer, rows, strict=True):
                joint = joint * self.likelihood[name][row]
            yes, no = joint @ self.present, joint @ ~self.present
            right += np.maximum(yes, no).sum(0)
            strongest += yes.max(1).sum()
        single = {f"accuracy_{name}": value for name, value in zip(EMOTIONS, right, strict=True)}
        top = strongest / (self.prior @ self.present.any(1))
        return {"accuracy": right.mean(), "accuracy_top": top, "mae": 1 - right.mean(), **single}


WORLDS = {
    "plain": {"informativeness": (0.8, 0.6, 0.4), "redundancy": 0.3, "synergy": 0.4, "noise": 0.1},
    "ties at zero": {"informativeness": (0.9, 0.9, 0.5), "redundancy": 0.25, "synergy": 1.0, "noise": 0.0},
    "no redundancy": {"informativeness": (1.0, 1.0, 1.0), "redundancy": 0.0, "synergy": 0.5, "noise": 0.3},
    "missing": {"informativeness": (0.9, 0.7, 1.0), "redundancy": 0.6, "synergy": 0.8, "noise": 0.05, "missing": (0.1, 0.3, 0.5)},
    "frames": {"informativeness": (0.9, 0.7, 0.8), "redundancy": 0.4, "synergy": 0.3, "noise": 0.05, "missing": (0.3, 0.9, 0.95), "kind": "frames"},
}


def turned(world, task="sentiment"):
    """The same world in dials."""
    by_modality = {key: dict(zip(ALL, world[key], strict=True)) for key in ("informativeness", "missing") if key in world}
    plain = {key: world[key] for key in ("redundancy", "synergy", "noise")}
    return preset_dials(**plain, **by_modality, missing_kind=world.get("kind", "modality"), task=task)


@pytest.mark.parametrize("name", WORLDS)
def test_ceilings_equal_brute_force(name):
    world, found = World(**WORLDS[name]), ceilings(turned(WORLDS[name]))
    assert len(found) == 7
    for subset in SUBSETS:
        assert found[subset_name(subset)] == pytest.approx(world.ceiling(subset), abs=1e-9), subset


@pytest.mark.parametrize("name", WORLDS)
def test_ceilings_of_emotions_equal_brute_force(name):
    world, found = World(**WORLDS[name]), ceilings(turned(WORLDS[name], "emotions"))
    assert len(found) == 7
    for subset in SUBSETS:
        assert found[subset_name(subset)] == pytest.approx(world.emotion_ceiling(subset), abs=1e-9), subset


@pytest.mark.parametrize("name", ["plain", "missing"])
def test_expectation_equals_brute_force(name):
    world, rng = World(**WORLDS[name]), np.random.default_rng(0)
    rows = {modality: rng.integers(0 if name == "missing" else 1, len(world.seen[modality]), 200) for modality in ALL}
    rows["vision"] = np.where(world.likelihood["vision"][rows["vision"]].sum(1) > 0, rows["vision"], 1)  # vision always shows where it is there
    evidence = {}
    for modality in ALL:
        seen = [world.seen[modality][row] or (0, 0, 0) for row in rows[modality]]
        for place, cue in enumerate(("shared", "unique", "sarcasm")):
            evidence[f"{modality}_{cue}_symbol"] = np.array([symbols[place] if place < len(symbols) else 0 for symbols in seen])
        evidence[f"{modality}_missing"] = rows[modality] == 0
    for subset in SUBSETS:
        joint = world.prior * np.prod([world.likelihood[modality][rows[modality]] for modality in subset], axis=0)
        posterior = joint / joint.sum(1, keepdims=True)
        dials = turned(WORLDS[name])
        assert expectation(dials, evidence, subset) == pytest.approx(posterior @ world.y, abs=1e-9), subset
        assert expectation(dials, evidence, subset, lambda y: y < 0) == pytest.approx(posterior @ (world.y < 0), abs=1e-9), subset
        assert emotion_chances(dials, evidence, subset) == pytest.approx(posterior @ world.present, abs=1e-9), subset


@pytest.mark.parametrize("synergy", [0.0, 1.0])
def test_everything_shown_without_noise_leaves_nothing_to_guess(synergy):
    dials = preset_dials(informativeness=dict.fromkeys(ALL, 1.0), noise=0.0, synergy=synergy)
    assert ceilings(dials)["all"] == pytest.approx({"acc2_has0": 1, "acc2_non0": 1, "mae": 0, "corr": 1}, abs=1e-9)


@pytest.mark.parametrize("change", [{"noise": 1.0}, {"informativeness": dict.fromkeys(ALL, 0.0)}, {"missing": dict.fromkeys(ALL, 1.0)}])
@pytest.mark.parametrize("kind", ["modality", "frames"])
def test_nothing_known_is_chance(change, kind):
    # redundancy 1: y is -2, -1, 1 or 2; the best guess without knowledge is 0, off by 1.5
    found = ceilings(preset_dials(redundancy=1.0, missing_kind=kind, **change))
    for scores in found.values():
        assert scores == pytest.approx({"acc2_has0": 0.5, "acc2_non0": 0.5, "mae": 1.5, "corr": 0.0}, abs=1e-9)


def by_hand(q):
    """Redundancy 1, seen with probability q: right then, a coin otherwise (off by 1.5 on average)."""
    return {"acc2_has0": q + (1 - q) / 2, "acc2_non0": q + (1 - q) / 2, "mae": 1.5 * (1 - q), "corr": q**0.5}


def test_redundancy_one_by_hand():
    p = 0.6
    found = ceilings(preset_dials(redundancy=1.0, noise=0.0, synergy=1.0, informativeness={"text": p, "audio": 0.5, "vision": 0.0}))
    assert found["text"] == pytest.approx(by_hand(p), abs=1e-9)
    assert found["text+vision"] == pytest.approx(by_hand(p), abs=1e-9)
    assert found["all"] == pytest.approx(by_hand(1 - 0.4 * 0.5), abs=1e-9)  # text or audio shows it


def test_full_synergy_makes_the_words_alone_worthless():
    found = ceilings(preset_dials("synergy", noise=0.0, informativeness=dict.fromkeys(ALL, 1.0)))
    assert found["text"]["corr"] == pytest.approx(0, abs=1e-7)
    # the strength of the word still tells a little beside another modality: how likely the clip at 3 holds
    assert found["text+vision"]["corr"] == pytest.approx(found["vision"]["corr"], abs=1e-3)
    assert found["text+audio"]["corr"] > found["audio"]["corr"] + 0.2


@pytest.mark.parametrize("preset", PRESETS)
def test_more_modalities_never_lower_the_ceiling(preset):
    found = ceilings(PRESETS[preset])
    for small, large in product(SUBSETS, SUBSETS):
        if set(small) < set(large):
            less, more = found[subset_name(small)], found[subset_name(large)]
            assert more["mae"] <= less["mae"] + 1e-9
            assert all(more[metric] >= less[metric] - 1e-9 for metric in more if metric != "mae")


def test_emotions_by_hand():
    """All is shown, without noise or sarcasm: a modality alone knows what its own cue and the shared one decide; else it takes the likelier."""
    dials = preset_dials("emotions", informativeness=dict.fromkeys(ALL, 1.0), noise=0.0, synergy=0.0)
    found = ceilings(dials)
    assert found["all"] == pytest.approx(dict.fromkeys(found["all"], 1.0) | {"mae": 0.0}, abs=1e-9)
    accuracy = {name: [found[name][f"accuracy_{emotion}"] for emotion in EMOTIONS] for name in found}
    # anger of words alone: at -2 half of the faces, so never better than no; disgust of words and shared cue is certain
    assert accuracy["text"] == pytest.approx([1, 3 / 4, 13 / 16, 7 / 8, 1, 15 / 16], abs=1e-9)
    assert accuracy["audio"] == pytest.approx([1, 1, 13 / 16, 7 / 8, 7 / 8, 15 / 16], abs=1e-9)
    assert accuracy["vision"] == pytest.approx([1, 3 / 4, 13 / 16, 7 / 8, 7 / 8, 1], abs=1e-9)
    assert accuracy["text+vision"] == pytest.approx([1, 3 / 4, 1, 7 / 8, 1, 1], abs=1e-9)
    assert accuracy["audio+vision"] == pytest.approx([1, 1, 13 / 16, 1, 7 / 8, 1], abs=1e-9)


def test_full_synergy_hides_disgust_and_anger_from_the_words():
    found = ceilings(preset_dials("emotions", informativeness=dict.fromkeys(ALL, 1.0), noise=0.0, synergy=1.0))
    assert found["text"]["accuracy_disgust"] == pytest.approx(7 / 8, abs=1e-9)
    assert found["text+vision"]["accuracy_anger"] == pytest.approx(13 / 16, abs=1e-9)
    assert found["text+audio"]["accuracy_disgust"] == found["all"]["accuracy_anger"] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("change", [{"noise": 1.0}, {"informativeness": dict.fromkeys(ALL, 0.0)}, {"missing": dict.fromkeys(ALL, 1.0)}])
def test_nothing_known_of_emotions_is_the_constant_answer(change):
    shares = dict(zip(EMOTIONS, np.array([8, 4, 3, 2, 2, 1]) / 16, strict=True))
    accuracy = float(np.mean([max(share, 1 - share) for share in shares.values()]))
    # always happy is right for half of the samples, of which 205 in 256 have an emotion
    expected = {"accuracy": accuracy, "accuracy_top": 0.5 / (205 / 256), "mae": 1 - accuracy}
    expected |= {f"accuracy_{name}": max(share, 1 - share) for name, share in shares.items()}
    for scores in ceilings(preset_dials("emotions", **change)).values():
        assert scores == pytest.approx(expected, abs=1e-9)


def test_starved_leaves_much_above_the_best_modality():
    found = ceilings(PRESETS["starved"])
    assert found["all"]["acc2_has0"] > max(found[name]["acc2_has0"] for name in ALL) + 0.05
