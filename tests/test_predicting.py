"""A run asked about samples: its own, a card's, and single ones of the user's, each treated as the run's own data was."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from workbench.cli import main
from workbench.data import load
from workbench.data.batch import Dataset, TaskSpec
from workbench.errors import ConfigError, DataError, WorkbenchError
from workbench.fitting import fit
from workbench.predicting import card_samples, predict_samples, read_samples_file
from workbench.runs import Run

SMALL = {"hidden_size": 4, "post_size": 4}
CARD = """---
name: mine
title: Films that somebody talked about
task: {kind: regression, range: [-3, 3]}
modalities:
  text: {kind: tokens, size: null, description: words}
  audio: {kind: sequence, size: 3, standardise: true, description: frames}
  vision: {kind: vector, size: 2, standardise: true, description: a face}
splits: {train: 24, valid: 8, test: 8}
format: folder
sources: [{path: train.npz}, {path: valid.npz}, {path: test.npz}]
licence: nobody's
citation: nobody
traps: ["all of it is made up"]
---
Made by a test.
"""
WORDS = ("fine", "dull", "film", "plot", "long", "loved")


def arrays(n: int, *, seed: int, scale: float = 40.0, words: tuple[str, ...] = WORDS) -> dict:
    """Raw arrays far from mean 0 and deviation 1."""
    random = np.random.default_rng(seed)
    return {
        "text": [" ".join(random.choice(words, 3)) for _ in range(n)],
        "audio": [(100 + scale * random.standard_normal((t, 3))).astype(np.float32) for t in random.integers(2, 6, n)],
        "vision": (7 + scale * random.standard_normal((n, 2))).astype(np.float32),
    }


def write_card(folder: Path, *, seed: int = 0, scale: float = 40.0, words: tuple[str, ...] = WORDS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, (split, n) in enumerate({"train": 24, "valid": 8, "test": 8}.items()):
        given = arrays(n, seed=10 * seed + number, scale=scale, words=words)
        frames = given.pop("audio")
        offsets = np.cumsum([0, *map(len, frames)])
        target = np.random.default_rng(number).uniform(-3, 3, n)
        np.savez(
            folder / f"{split}.npz",
            text=np.array(given["text"]),
            audio=np.concatenate(frames),
            audio_offsets=offsets,
            vision=given["vision"],
            target=target,
        )
    (folder / "mine.md").write_text(CARD)
    return folder / "mine.md"


def train(data: Dataset, folder: Path, *, method: str = "lf_dnn", **settings: object) -> Run:
    settings = {"config": SMALL, **settings}
    return fit(method, data, plan={"epochs": 1, "device": "cpu"}, runs=folder, **settings)


@pytest.fixture(scope="module")
def card(tmp_path_factory) -> Path:
    return write_card(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def run(card, tmp_path_factory) -> Run:
    return train(load(str(card)), tmp_path_factory.mktemp("runs"))


def said(run: Run, split: str = "test") -> np.ndarray:
    """What the run itself said after its training."""
    return run.trace[f"predictions/{split}"]["prediction"].values


def test_the_runs_own_card_gives_what_the_run_said(run, card):
    frame = predict_samples(run, load(str(card)))
    assert list(frame) == ["sample", "prediction", "target"]
    np.testing.assert_allclose(frame["prediction"], said(run), atol=1e-6)
    assert frame["sample"].tolist() == run.trace["predictions/test"]["sample"].values.tolist()
    np.testing.assert_allclose(predict_samples(run, card_samples(run, str(card)), split="valid")["prediction"], said(run, "valid"), atol=1e-6)


def test_own_arrays_are_standardised_by_the_runs_training_split(run, card):
    """The raw arrays of the card's test split, given by hand, say what the run said; so does each of them alone, and given without a list."""
    given = arrays(8, seed=2)
    frame = predict_samples(run, given)
    np.testing.assert_allclose(frame["prediction"], said(run), atol=1e-6)
    assert list(frame) == ["sample", "prediction"]
    assert frame["sample"].tolist() == [f"sample {i}" for i in range(8)]
    assert frame.attrs["notes"] == []
    for row in range(3):
        one = {"text": given["text"][row], "audio": given["audio"][row], "vision": given["vision"][row], "ids": ["mine"]}
        alone = predict_samples(run, one)
        assert alone["sample"].tolist() == ["mine"]
        assert alone["prediction"].item() == pytest.approx(said(run)[row], abs=1e-6)
    # By hand: the mean and deviation of train, from the files.
    frames = np.concatenate(arrays(24, seed=0)["audio"]).astype(np.float64)
    mean, spread = run.config["notes"]["scales"]["audio"]
    np.testing.assert_allclose(mean, frames.mean(0), rtol=1e-6)
    np.testing.assert_allclose(spread, frames.std(0), rtol=1e-5)


def test_another_card_is_not_standardised_by_its_own_numbers(run, tmp_path):
    """The same features at a tenth of the spread: by their own training split they would look like the run's data."""
    other = write_card(tmp_path / "other", seed=3, scale=4.0)
    raw = arrays(8, seed=32, scale=4.0)
    expected = predict_samples(run, raw)["prediction"]
    np.testing.assert_allclose(predict_samples(run, card_samples(run, str(other)))["prediction"], expected, atol=1e-6)
    np.testing.assert_allclose(predict_samples(run, load(str(other)))["prediction"], expected, atol=1e-4)  # There and back: rounding.


def test_words_go_by_the_runs_vocabulary_and_strange_ones_are_said(run, tmp_path):
    """Another card numbers its words otherwise; a word that the run does not know is its UNKNOWN, whatever it is."""
    words = ("zebra", *WORDS[::-1])
    other = card_samples(run, str(write_card(tmp_path / "other", seed=4, words=words)))
    frame = predict_samples(run, other)
    np.testing.assert_allclose(frame["prediction"], predict_samples(run, arrays(8, seed=42, words=words))["prediction"], atol=1e-6)
    strange = sum(sentence.split().count("zebra") for sentence in arrays(8, seed=42, words=words)["text"])
    assert frame.attrs["notes"] == [f"{strange} of 24 words of text are not in the run's vocabulary"]
    one, two = ({**arrays(1, seed=5), "text": f"fine {word} film"} for word in ("gnu", "yak"))
    assert predict_samples(run, one)["prediction"].item() == predict_samples(run, two)["prediction"].item()


def test_a_missing_modality_is_masked(run):
    given = arrays(3, seed=6)
    without = predict_samples(run, {key: given[key] for key in ("text", "vision")})
    assert without.attrs["notes"] == ["audio is missing in 3 of 3 samples and masked"]
    other = predict_samples(run, {**given, "audio": [None, given["audio"][1], None]})
    np.testing.assert_allclose(other["prediction"][[0, 2]], without["prediction"][[0, 2]], atol=1e-6)
    assert other["prediction"][1] == pytest.approx(predict_samples(run, given)["prediction"][1], abs=1e-6)
    # By hand: the model, told by its mask.
    data = load(drop={"audio": 1.0}, name=write_card_of(run))
    with torch.no_grad():
        masked = run.model()(data["test"].batch(torch.arange(8))).prediction.numpy()
    raw = arrays(8, seed=2)
    np.testing.assert_allclose(predict_samples(run, {"text": raw["text"], "vision": raw["vision"]})["prediction"], masked, atol=1e-6)


def write_card_of(run: Run) -> str:
    """The card that the module's run was trained on, written again."""
    return str(write_card(run.path.parent / "again"))


def test_classes_and_labels_have_names_and_probabilities(toy_classes, toy_labels, tmp_path):
    run = train(toy_classes, tmp_path)
    frame = predict_samples(run, toy_classes)
    names = [f"class {i}" for i in range(4)]
    assert list(frame) == ["sample", "prediction", *(f"p({name})" for name in names), "target"]
    chances = frame[[f"p({name})" for name in names]].to_numpy()
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-6)
    assert frame["prediction"].tolist() == [names[i] for i in said(run)] == [names[i] for i in chances.argmax(1)]
    assert frame["target"].tolist() == [names[i] for i in toy_classes["test"].target.tolist()]
    run = train(toy_labels, tmp_path)
    frame = predict_samples(run, toy_labels)
    np.testing.assert_allclose(frame[[f"p(label {i})" for i in range(3)]].to_numpy(), said(run), atol=1e-6)
    expected = [", ".join(f"label {i}" for i in range(3) if row[i] > 0.5) for row in said(run)]
    assert frame["prediction"].tolist() == expected


def test_sentences_go_through_the_runs_language_model(card, tmp_path):
    """Frozen features and fine-tuned ids: the sentence is all that is given; one without words is masked."""
    data = load(str(card))
    for text in ("frozen", "fine_tuned"):
        run = train(data, tmp_path, config={**SMALL, "text": text})
        given = arrays(8, seed=2)
        np.testing.assert_allclose(predict_samples(run, given)["prediction"], said(run), atol=1e-5)
        one = {key: value[0] for key, value in given.items()}
        assert predict_samples(run, one)["prediction"].item() == pytest.approx(said(run)[0], abs=1e-5)
        silent = predict_samples(run, {"audio": one["audio"], "vision": one["vision"]})
        assert silent.attrs["notes"] == ["text is missing in 1 of 1 samples and masked"]
        assert silent["prediction"].item() == pytest.approx(predict_samples(run, {**one, "text": [None]})["prediction"].item(), abs=1e-6)


def test_a_view_of_some_groups_keeps_its_scale_and_its_words(card, tmp_path):
    """Standardised twice, by the whole training split and by the groups that were kept: own samples go the same way."""
    run = train(load(str(card), keep_groups=0.5, align_to="text"), tmp_path)
    np.testing.assert_allclose(predict_samples(run, arrays(8, seed=2))["prediction"], said(run), atol=1e-5)
    rare = train(load(str(card), keep_groups=0.1, view_seed=1), tmp_path)
    notes = rare.config["notes"]
    assert notes["left_out_words"]["text"] and set(notes["left_out_words"]["text"]) < set(WORDS)
    np.testing.assert_allclose(predict_samples(rare, arrays(8, seed=2))["prediction"], said(rare), atol=1e-5)
    forgetful = replace(rare, config={**rare.config, "notes": {**notes, "left_out_words": {}}})
    assert np.abs(predict_samples(forgetful, arrays(8, seed=2))["prediction"] - said(rare)).max() > 1e-4


def test_a_run_of_before_the_scales_were_kept_says_so(run, card, tmp_path):
    notes = {key: value for key, value in run.config["notes"].items() if key != "scales"}
    old = replace(run, config={**run.config, "notes": notes})
    np.testing.assert_allclose(predict_samples(old, load(str(card)))["prediction"], said(run), atol=1e-6)
    with pytest.raises(ConfigError, match=r"does not hold the mean and deviation of its training data[\s\S]*train again"):
        predict_samples(old, arrays(1, seed=0))


WRONG = [
    ({"speech": ["x"]}, ConfigError, r'unknown modality "speech"'),
    ({}, DataError, r"there is no modality"),
    ({"text": ["fine", None], "vision": [None, None]}, DataError, r"a sample has no modality[\s\S]*row 1"),
    ({"text": ["fine"], "vision": np.zeros((2, 2))}, DataError, r"vision has 2 samples, text has 1"),
    ({"text": np.zeros((1, 3))}, DataError, r"text holds vectors[\s\S]*sentences"),
    ({"vision": "a face"}, DataError, r"vision holds sentences"),
    ({"vision": np.zeros((1, 5))}, DataError, r"vision is \[5\] a step[\s\S]*trained on"),
    ({"audio": [np.zeros((2, 4)), None], "text": ["fine", "dull"]}, DataError, r"audio is \[4\] a step"),
    ({"audio": [[[0.0, 1.0, float("nan")]]]}, DataError, r"audio: a value is nan"),
    ({"text": ["fine", "dull"], "ids": ["a", "a"]}, DataError, r"there are 1 ids and 2 samples"),
]


@pytest.mark.parametrize(("given", "kind", "sentence"), WRONG)
def test_wrong_samples_say_what_is_wrong(run, given, kind, sentence):
    with pytest.raises(kind, match=sentence):
        predict_samples(run, given)


def test_a_data_set_of_another_make_is_refused(run, toy, toy_classes, mixed_maker, tmp_path):
    with pytest.raises(DataError, match=r"audio is sequence of 8, the run was trained on sequence of 3"):
        predict_samples(run, toy)
    other = mixed_maker({"touch": "vector", "sound": "sequence"})
    with pytest.raises(DataError, match=r"mixed has none of the modalities"):
        predict_samples(run, other)
    with pytest.raises(ConfigError, match=r'unknown split "tset"'):
        predict_samples(run, toy, split="tset")
    assert "target" not in predict_samples(train(toy, tmp_path), toy_classes)


def test_images_and_token_ids(mixed_maker, tmp_path):
    """Four kinds of modalities; ids without words are taken as they are."""
    data = mixed_maker()
    run = train(data, tmp_path)
    np.testing.assert_allclose(predict_samples(run, data)["prediction"], said(run), atol=1e-6)
    image = data["test"].columns["image"][0][0].numpy()
    one = {
        "image": image,
        "vitals": data["test"].columns["vitals"][0][0].numpy(),
        "sound": [data["test"].columns["sound"][0].tolist()],
        "text": "word1",
    }
    assert np.isfinite(predict_samples(run, one)["prediction"].item())
    bare = replace(run, config=json.loads(json.dumps(run.config)))
    bare.config["spec"]["modalities"]["text"]["vocabulary"] = []
    ids = data.replace_modality("text", replace(data.spec.modalities["text"], vocabulary=()), {k: s.columns["text"] for k, s in data.splits.items()})
    np.testing.assert_allclose(predict_samples(bare, ids)["prediction"], said(run), atol=1e-6)


def test_multiclass_arrays_from_a_spec(tmp_path):
    random = np.random.default_rng(0)
    parts = {key: {"a": random.standard_normal((12, 3)), "b": random.standard_normal((12, 2)), "target": [0, 1] * 6} for key in ("train", "valid")}
    run = train(Dataset.from_arrays("mine", parts, task=TaskSpec("multiclass", classes=("no", "yes"))), tmp_path)
    frame = predict_samples(run, {"a": parts["valid"]["a"], "b": parts["valid"]["b"]})
    assert frame["prediction"].tolist() == [("no", "yes")[i] for i in said(run, "valid")]


# The command


def command(capsys, *words: object) -> tuple[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["workbench", *map(str, words)])
        try:
            main()
        except SystemExit as stop:
            if stop.code:
                raise RuntimeError(capsys.readouterr()) from stop
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_the_command_takes_a_card_and_own_samples(run, card, tmp_path, capsys):
    out, _ = command(capsys, "predict", run.path, card, "--sample", "test_3", "--json")
    (row,) = json.loads(out)
    assert row["sample"] == "test_3" and row["prediction"] == pytest.approx(said(run)[3], abs=1e-6)
    given = arrays(1, seed=2)
    (tmp_path / "mine.json").write_text(json.dumps({"text": given["text"], "vision": given["vision"].tolist()}))
    out, err = command(capsys, "predict", run.path, tmp_path / "mine.json", "--out", tmp_path / "said.csv")
    assert "1 predictions" in out and "audio is missing in 1 of 1 samples and masked" in err
    assert list(pd.read_csv(tmp_path / "said.csv")) == ["sample", "prediction"]
    out, _ = command(capsys, "predict", run.path, card, "--split", "valid")
    assert "valid_0" in out and len(out.splitlines()) == 9


def test_simulated_data_is_drawn_again_as_the_run_had_it(tmp_path):
    run = train(load("opinions/balanced", samples=40, seed=3), tmp_path)
    for name in ("opinions", "opinions/balanced"):
        np.testing.assert_allclose(predict_samples(run, card_samples(run, name))["prediction"], said(run), atol=1e-6)
    other = card_samples(run, "opinions/starved", samples=40, seed=3)
    assert not np.allclose(predict_samples(run, other)["prediction"], said(run))


@pytest.mark.parametrize(("text", "sentence"), [(None, "cannot be read"), ("[", "cannot be read"), ("[1]", "no JSON object")])
def test_a_file_of_samples_that_is_none(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "mine.json").write_text(text)
    with pytest.raises(WorkbenchError, match=sentence):
        read_samples_file(tmp_path / "mine.json")


def test_a_sample_of_no_name(run, card):
    with pytest.raises(ConfigError, match=r'no sample of test is called "test_99"'):
        predict_samples(run, load(str(card)), ids=["test_99"])
