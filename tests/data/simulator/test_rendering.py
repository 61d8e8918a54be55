"""Words, clock, bumps: what is drawn is what the symbols say, and nothing else."""

import numpy as np
import pytest

from workbench.data.batch import PADDING, UNKNOWN
from workbench.data.simulator.grammar import EVIDENCE, TEMPLATES, names, sentence, synonyms, vocabulary
from workbench.data.simulator.rendering import BUMP, CHANNELS, heights, kernel
from workbench.data.simulator.synthetic import opinions

SMALL = {"train": 150, "valid": 5, "test": 5}
NOTHING = {"text": 0.0, "audio": 0.0, "vision": 0.0}
EVERYTHING = {"text": 1.0, "audio": 1.0, "vision": 1.0}


def test_names_are_2000_distinct_words():
    assert len(set(names(2000))) == 2000
    assert names(5) == names(2000)[:5]
    assert all(name.isalpha() and name.islower() for name in names(2000))


def test_vocabulary_has_every_word_once():
    words = vocabulary(2000)
    assert words[PADDING] == "<padding>" and words[UNKNOWN] == "<unknown>"
    assert len(set(words)) == len(words)
    assert vocabulary(10)[:-10] == words[:-2000]


def test_evidence_words_are_twelve_a_level_and_mean_one_thing():
    graded = [word for family in EVIDENCE.values() for level, words in family.items() if level for word in words]
    assert all(len(words) == 12 for family in EVIDENCE.values() for level, words in family.items() if level)
    fillers = [word for family in EVIDENCE.values() for word in family[0]]
    assert len(set(graded + fillers)) == len(graded + fillers)
    plain = {word for template in TEMPLATES for word in template} | set(names(2000))
    assert not plain & set(graded + fillers)


def test_sentence_by_hand():
    draws = np.zeros(30)
    words, positions = sentence(0, draws, {"shared": "wonderful", "unique": "annoyed"}, ("ashford", "linwood"))
    assert " ".join(words) == "well the acting was wonderful and i was annoyed at the ending of crimson ashford with ashford i guess"
    assert positions == {"shared": 4, "unique": 8}


@pytest.mark.parametrize(("hardness", "count"), [(0.0, 2), (0.5, 7), (1.0, 12)])
def test_synonyms(hardness, count):
    assert synonyms(hardness) == count


@pytest.mark.parametrize(("modality", "frames", "rate"), [("audio", 15, 20), ("vision", 11, 15)])
def test_kernel_is_a_smooth_bump_as_wide_as_documented(modality, frames, rate):
    shape = kernel(modality)
    assert len(shape) == frames and shape[frames // 2] == 1 and shape == pytest.approx(shape[::-1])
    assert np.all(np.diff(shape[: frames // 2 + 1]) > 0)
    assert shape.sum() / rate == pytest.approx(0.4)  # area of a raised cosine: its width at half height


def test_heights_by_hand():
    assert heights("shared", np.array([-2, 0, 1])).tolist() == [-2 * BUMP, 0, BUMP]
    assert heights("sarcasm", np.array([0, 1])).tolist() == [0, 2 * BUMP]


def test_words_stand_where_the_evidence_says_and_mean_their_level():
    split = opinions(**SMALL, seed=3)["train"]
    for cue in ("shared", "unique"):
        level = {word: value for value, words in EVIDENCE[cue].items() for word in words}
        for i, text in enumerate(split.texts):
            words, position, symbol = text.split(), split.evidence[f"text_{cue}_position"][i], split.evidence[f"text_{cue}_symbol"][i]
            graded = [(place, level[word]) for place, word in enumerate(words) if level.get(word)]
            assert graded == ([(position, symbol)] if symbol else [])
            assert (position == -1) == (symbol == 0)


def test_texts_are_the_tokens():
    data = opinions(**SMALL, seed=3, missing={"text": 0.3})
    words = data.spec.modalities["text"].vocabulary
    column = data["train"].columns["text"]
    assert [" ".join(words[i] for i in column[row].tolist()) for row in range(len(column))] == data["train"].texts


def test_frames_differ_from_silence_by_the_bumps_and_nowhere_else():
    # the same seed with and without planted cues: the noise is the same, so what is left are the bumps
    quiet, loud = opinions(**SMALL, informativeness=NOTHING)["train"], opinions(**SMALL, informativeness=EVERYTHING)["train"]
    for modality, cues in {"audio": ("shared", "unique", "sarcasm"), "vision": ("shared", "unique")}.items():
        for i in range(len(loud)):
            left = (loud.columns[modality][i] - quiet.columns[modality][i]).numpy()
            assert left[:, len(cues) :] == pytest.approx(0, abs=1e-6)
            for channel, cue in enumerate(cues):
                symbol, (start, stop) = loud.evidence[f"{modality}_{cue}_symbol"][i], loud.evidence[f"{modality}_{cue}_window"][i]
                expected = np.zeros(len(left))
                if symbol:
                    assert 0 <= start < stop <= len(left)
                    expected[start:stop] = symbol * (6.0 if cue == "sarcasm" else 3.0) * kernel(modality)
                    assert loud.evidence[f"{modality}_{cue}_time"][i] == pytest.approx((start + stop - 1) / 2 / {"audio": 20, "vision": 15}[modality])
                else:
                    assert start == stop == -1 and np.isnan(loud.evidence[f"{modality}_{cue}_time"][i])
                assert left[:, channel] == pytest.approx(expected, abs=1e-5)


def test_clock_of_the_words():
    split = opinions(**SMALL, lag=0.0)["train"]
    starts = split.evidence["word_starts"]
    for i, text in enumerate(split.texts):
        count = len(text.split())
        assert np.isnan(starts[i, count:]).all() and starts[i, 0] == pytest.approx(0.5)
        assert ((np.diff(starts[i, :count]) >= 0.25) & (np.diff(starts[i, :count]) <= 0.35)).all()
        assert 20 * (starts[i, count - 1] + 0.75) <= len(split.columns["audio"][i]) <= 20 * (starts[i, count - 1] + 0.85) + 1
        place, time = split.evidence["text_shared_position"][i], split.evidence["audio_shared_time"][i]
        if place >= 0 and not np.isnan(time):  # the bump is at the middle of the word, but for the frame grid
            assert starts[i, place] + 0.125 - 0.026 <= time <= starts[i, place] + 0.175 + 0.026


def test_noise_is_as_loud_as_documented():
    split = opinions(train=300, valid=1, test=1, informativeness=NOTHING)["train"]
    for modality, cues in (("audio", 3), ("vision", 2)):
        values = split.columns[modality].values.numpy()
        assert values.shape[1] == len(CHANNELS[modality]) == 8
        assert values.std(0) == pytest.approx([0.15] * cues + [0.6] * (8 - cues), rel=0.05)
        first = split.columns[modality][0].numpy()
        assert np.mean([np.corrcoef(first[1:, c], first[:-1, c])[0, 1] for c in range(8)]) == pytest.approx(0.5, abs=0.12)
