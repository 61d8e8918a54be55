"""Samples chosen, muted, swapped and told in words: closed forms, and `opinions`, whose evidence is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from probes.linear_fusion import contribution, linear_fusion

from workbench.data import load
from workbench.data.batch import TaskSpec
from workbench.errors import ConfigError
from workbench.fitting import fit
from workbench.probes import choosing
from workbench.probes.attended import agreement, planted_steps, received
from workbench.probes.exploring import data_of, explain, open_run, say_mute
from workbench.probes.subsets import Subsets

SCORE = TaskSpec("regression")


@pytest.fixture
def opened(mixed_maker):
    data = mixed_maker()
    return open_run(linear_fusion(data), data)


def subsets(whole, text, audio):
    """Two modalities, by what is said with everything and with each alone."""
    said = {("text", "audio"): whole, ("text",): text, ("audio",): audio, (): [0.0] * len(whole)}
    return Subsets({key: np.array(value) for key, value in said.items()}, ("text", "audio"), SCORE, "mask", tuple(map(str, range(len(whole)))))


def test_the_sample_that_teaches_most_is_right_and_moves_furthest():
    # Row 0 moves furthest but is on the wrong side; row 2 is right and moves further than row 1; row 3 is right and does not move.
    found = subsets([2.0, 1.0, 2.0, 1.0], [-3.0, 0.9, -1.0, 1.0], [2.0, 1.0, 2.0, 1.0])
    target = np.array([-2.0, 1.0, 2.0, 1.0])
    assert choosing.teaching(found, target).tolist() == [2, 1, 3, 0]


@pytest.mark.parametrize(
    ("task", "said", "target", "right", "wrong"),
    [
        (SCORE, [1.0, -1.0, 3.0, 0.1], [1.1, 1.0, 0.9, 0.1], [True, False, False, True], [False, True, False, False]),
        (TaskSpec("multiclass", classes=("a", "b")), [[2.0, 1.0], [0.0, 1.0]], [0, 0], [True, False], [False, True]),
        (TaskSpec("multilabel", classes=("a", "b")), [[2.0, -1.0], [1.0, 1.0]], [[1, 0], [1, 0]], [True, False], [False, True]),
    ],
)
def test_right_and_wrong(task, said, target, right, wrong):
    said, target = np.array(said), np.array(target)
    assert choosing.is_right(said, target, task).tolist() == right
    assert choosing.is_wrong(said, target, task).tolist() == wrong


def test_errors_by_task():
    assert choosing.errors(np.array([1.0, -1.0]), np.array([1.5, 1.0]), SCORE).tolist() == [0.5, 2.0]
    classes, labels = TaskSpec("multiclass", classes=("a", "b")), TaskSpec("multilabel", classes=("a", "b"))
    said = np.array([[0.0, np.log(3.0)]])
    np.testing.assert_allclose(choosing.errors(said, np.array([1]), classes), [0.25])
    np.testing.assert_allclose(choosing.errors(said, np.array([[0.0, 1.0]]), labels), [(0.5 + 0.25) / 2])


def test_orders_of_a_split(opened):
    orders = opened.orders
    assert next(iter(orders)) == choosing.TEACHES
    assert list(orders)[-1] == choosing.ALL
    far = choosing.errors(opened.subsets.whole, opened.data["valid"].target.numpy(), SCORE)
    assert orders[choosing.LARGEST][0] == far.argmax()
    assert set(orders[choosing.WRONG]).isdisjoint(orders[choosing.RIGHT])
    assert sorted([*orders["truth negative"], *orders["truth positive"]]) == list(range(24))


def test_modalities_that_disagree():
    found = subsets([0.0, 0.0], [2.0, 1.0], [-2.0, 0.5])
    assert choosing.apart(found).tolist() == [4.0, 0.5]


def test_mute_is_a_look_up_and_swap_takes_the_other_samples_modality(opened):
    brought = {name: contribution(opened.model, opened.data, "valid", name) for name in opened.modalities}
    whole = float(opened.said(3))
    assert float(opened.said(3, muted=["sound"])) == pytest.approx(whole - float(brought["sound"][3]), abs=1e-5)
    assert not opened.is_known(3, swaps={"sound": 7})
    assert float(opened.said(3, swaps={"sound": 7})) == pytest.approx(whole + float(brought["sound"][7] - brought["sound"][3]), abs=1e-5)
    assert opened.is_known(3, swaps={"sound": 7})
    # Its own, or one that is muted, is no swap.
    assert opened.is_known(3, swaps={"sound": 3})
    assert float(opened.said(3, muted=["sound"], swaps={"sound": 7})) == float(opened.said(3, muted=["sound"]))


def test_the_data_stays_as_it_is(opened):
    before = opened.data["valid"].columns["sound"].values.clone()
    opened.said(3, swaps={"sound": 7})
    assert torch.equal(before, opened.data["valid"].columns["sound"].values)


def test_worth_of_a_sum_is_what_was_added(opened):
    found = opened.worth(2)
    for name in opened.modalities:
        expected = float(contribution(opened.model, opened.data, "valid", name)[2])
        assert found["Shapley value"][name] == pytest.approx(expected, abs=1e-4)
        assert found["whole less without it"][name] == pytest.approx(expected, abs=1e-4)


def test_six_modalities_have_single_mutes_and_no_shapley_values(mixed_maker):
    data = mixed_maker(dict.fromkeys("abcdef", "vector"))
    opened = open_run(linear_fusion(data), data)
    assert list(opened.worth(0)) == ["whole less without it"]
    assert not opened.is_known(0, muted=["a", "b"])
    both = sum(float(contribution(opened.model, data, "valid", name)[0]) for name in "ab")
    assert float(opened.said(0, muted=["a", "b"])) == pytest.approx(float(opened.said(0)) - both, abs=1e-5)


def test_the_sentence_says_what_moves_and_what_turns(opened):
    opened.subsets = subsets([-1.7, 1.0], [2.1, 1.0], [-1.0, 1.004])
    opened.data["valid"].target[:2] = torch.tensor([-2.0, 1.0])
    assert say_mute(opened, 0, ["audio"]) == (
        "Muting audio moves the prediction by +3.80, from -1.70 to +2.10 and turns its sign: further from the truth (-2.00)."
    )
    assert say_mute(opened, 0, ["text"]) == "Muting text moves the prediction by +.70, from -1.70 to -1.00: further from the truth (-2.00)."
    assert say_mute(opened, 0, []).endswith("No other modality moves it further.")
    assert say_mute(opened, 1, ["text"]) == "Muting text does not move the prediction (+1.00): as far from the truth (+1.00)."


@pytest.mark.parametrize(("task", "words"), [("multiclass", "probability of"), ("multilabel", "probability of")])
def test_classes_and_labels_are_told_by_name(mixed_maker, task, words):
    data = mixed_maker(task=task)
    opened = open_run(linear_fusion(data, outputs=3, seed=3), data)
    said = say_mute(opened, 0, ["text"], output=opened.output_of(0))
    assert words in said
    assert any(name in said for name in data.spec.task.classes)
    assert "truth: " in said
    assert f"{'true class' if task == 'multiclass' else 'true label'}: second" in opened.orders


def test_a_class_that_turns_is_named(mixed_maker):
    data = mixed_maker(task="multiclass")
    opened = open_run(linear_fusion(data, outputs=3), data)
    whole, other = np.array([[2.0, 0.0, 0.0]]), np.array([[0.0, 0.0, 2.0]])
    said = {("text", "audio"): whole, ("text",): other, ("audio",): whole, (): whole}
    opened.subsets = Subsets(said, ("text", "audio"), data.spec.task, "mask", ("0",))
    assert "turns the answer to third" in say_mute(opened, 0, ["audio"], output=0)
    assert say_mute(opened, 0, ["text"], output=0).startswith("Muting text does not move the probability of first (.79)")


def test_the_test_split_is_locked(mixed_maker):
    data = mixed_maker()
    with pytest.raises(ConfigError, match="the test split is locked"):
        open_run(linear_fusion(data), data, split="test")
    assert len(open_run(linear_fusion(data), data, split="test", is_test_unlocked=True)) == 24
    with pytest.raises(ConfigError, match='unknown split "vaild"'):
        open_run(linear_fusion(data), data, split="vaild")


# Attention and evidence


def view(values, dims, steps, kind="attention"):
    return {"kind": kind, "tap": "fusion.a", "values": xr.DataArray(np.array(values), dims=dims), "steps": steps}


def test_attention_that_each_step_receives_by_hand():
    step = {"modality": "audio", "words": None, "rate": None}
    seen = xr.Dataset(attrs={"modalities": ["text", "audio"]})
    one = view([[[1.0, 0.0], [0.5, 0.5]]], ("head", "text_time", "audio_time"), {"text_time": step | {"modality": "text"}, "audio_time": step})
    np.testing.assert_allclose(received([one], seen)["audio"], [1.5, 0.5])
    # A row that looks at nothing is no look.
    blind = view([[1.0, 0.0], [0.0, 0.0]], ("text_time", "audio_time"), {"text_time": step | {"modality": "text"}, "audio_time": step})
    np.testing.assert_allclose(received([blind], seen)["audio"], [2.0, 0.0])
    assert received([one | {"kind": "gate"}], seen) == {}
    assert received([one], seen, tap="fusion.b") == {}


def test_attention_over_all_tokens_is_given_back_to_the_modalities():
    tokens = {"modality": "", "words": ["text: oh", "text: great", "audio: 0.0 s", "added token"], "rate": None}
    one = view(np.full((4, 4), 0.25), ("token", "token_attended"), {"token": tokens, "token_attended": tokens})
    found = received([one], xr.Dataset(attrs={"modalities": ["text", "audio"]}))
    assert {name: values.tolist() for name, values in found.items()} == {"text": [1.0, 1.0], "audio": [1.0]}


def test_planted_steps_and_how_well_numbers_point_at_them():
    evidence = {
        "text_shared_position": np.array([1, -1]), "text_unique_position": np.array([3, -1]),
        "audio_shared_window": np.array([[2, 4], [-1, -1]]), "sarcasm": np.array([0, 1]),
    }  # fmt: skip
    assert planted_steps(evidence, 0, "text", 5).tolist() == [False, True, False, True, False]
    assert planted_steps(evidence, 0, "audio", 5).tolist() == [False, False, True, True, False]
    assert planted_steps(evidence, 1, "audio", 5) is None
    assert agreement([0.1, 0.9, 0.2, 0.8, 0.0], planted_steps(evidence, 0, "text", 5)) == 1.0
    assert agreement([1.0, 0.0, 1.0, 0.0, 1.0], planted_steps(evidence, 0, "text", 5)) == 0.0


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small run of a method with attention on `opinions`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("data")))
        data = load("opinions/synergy", samples=60, valid=20, test=20)
        config = {"hidden_size": 8, "encoder_layers": 1, "encoder_heads": 2, "heads": 2}
        return fit("mldfa", data, config=config, plan={"epochs": 1}, runs=tmp_path_factory.mktemp("runs")), data


def test_a_run_opens_on_the_data_that_its_config_names(trained):
    run, data = trained
    found = data_of(run)
    assert found["valid"].texts == data["valid"].texts
    other = replace(run, config={**run.config, "notes": {**run.config["notes"], "seed": 1}})
    with pytest.raises(ConfigError, match="opinions/synergy is not the data that run .* was trained on"):
        data_of(other)
    assert data_of(run, data) is data


def test_attention_gates_and_evidence_of_a_sample(trained):
    run, data = trained
    opened = open_run(run, data)
    row = next(row for row in range(20) if "text" in opened.planted(row))
    attention = opened.attention(row)
    for name in opened.modalities:
        assert len(attention[name]) == int(data["valid"].columns[name].lengths[row])
        assert attention[name].mean() == pytest.approx(1.0, abs=1e-4)
    weights = opened.weights(row)
    assert weights
    assert all(set(by) == set(opened.modalities) for by in weights.values())
    assert 0 <= opened.agreements(row, attention)["text"] <= 1
    assert opened.frame(row)["modality"].nunique() == 3
    assert opened.views(row) is opened.views(row)


def test_a_model_without_taps_shows_nothing(opened):
    assert opened.views(0) == []
    assert opened.attention(0) == {}
    assert opened.weights(0) == {}
    assert opened.planted(0) == {}


def test_errors_in_words():
    assert explain(ConfigError("no such row", expected="0 to 9")) == "no such row. Expected: 0 to 9"
    assert explain(ValueError("<b>")) == "ValueError: <b>"
