"""Single samples, told: who is chosen, what is said of them, and errors by group."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench import cases, depth, figures, studies
from workbench.data.batch import Split, TaskSpec
from workbench.errors import ConfigError
from workbench.experiments import Results, compare

SIZES = {"train": 40, "valid": 20, "test": 60}
SMALL = {"hidden_size": 8, "post_size": 8, "unimodal_size": 4, "heads": 2, "layers": 2}
SCORE = TaskSpec("regression")
CLASSES = TaskSpec("multiclass", classes=("sad", "glad", "mad"))
LABELS = TaskSpec("multilabel", classes=("sad", "glad"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    data = studies.draws("opinions/balanced", 2, align_to="text", **SIZES)
    budget = {"seeds": 2, "plan": {"epochs": 1}, "runs": tmp_path_factory.mktemp("runs")}
    return depth.against_baseline(data, config=SMALL, baseline_config={"hidden_size": 8}, **budget).only("mmiln", "self_mm"), data


def own_head(results, split, name) -> np.ndarray:
    """Eq. (28) with the weights of the first run."""
    model = results.only("mmiln").runs[0].model()
    weights = {key.removeprefix("supervision."): value.numpy() for key, value in model.state_dict().items() if key.startswith("supervision.")}
    with torch.no_grad():
        part = model(split.batch(torch.arange(len(split)))).parts[name].numpy()
    hidden = np.maximum(part @ weights[f"posts.{name}.1.weight"].T + weights[f"posts.{name}.1.bias"], 0)
    return (hidden @ weights[f"heads.{name}.weight"].T + weights[f"heads.{name}.bias"])[:, 0]


def test_a_case_tells_truth_predictions_modalities_and_gates(trained):
    results, data = trained
    found = cases.cases(results, data, count=3)
    notes = [case.note for case in found]
    assert len(found) == 3 and notes == sorted(notes, reverse=True) and notes[0] == "sarcastic"
    split = data[0]["test"]
    for case in found:
        row = split.ids.index(case.sample)
        assert case.sentence == split.texts[row]
        assert float(case.truth) == pytest.approx(float(split.target[row]), abs=0.006)
        run = results.only("self_mm").runs[0]
        said = cases.outputs(run, data)[row]
        assert float(case.said["self_mm"]) == pytest.approx(float(said), abs=0.006) and list(case.said) == ["mmiln", "self_mm"]
        assert set(case.alone) == set(case.alone_true) == {"text", "audio", "vision"}
        assert case.alone_by == {"text": "readout", "audio": "own task", "vision": "own task"}
        assert float(case.alone["vision"]) == pytest.approx(own_head(results, split, "vision")[row], abs=0.006)
        assert float(case.alone["text"]) == pytest.approx(float(cases.read_alone(results.runs[0], data)["text"][row]), abs=0.006)
        assert float(case.alone_true["audio"]) == pytest.approx(float(split.labels["audio"][row]), abs=0.006)
        assert set(case.gates) == {"audio", "vision"} and case.gates["audio"].endswith(" sd)")
        truth, pairs = float(split.target[row]), zip(case.said, results.runs[::2], strict=True)
        gap = {name: abs(float(cases.outputs(one, data)[row]) - truth) for name, one in pairs}
        assert case.nearest == (min(gap, key=gap.get),)
    assert "sarcastic" in figures.case_table(found)._repr_html_()
    assert cases.say_chosen(found).startswith("Samples: the first of the split")


def test_the_first_of_the_split_are_taken_whatever_the_methods_say(trained):
    results, data = trained
    split = data[0]["test"]
    sarcastic = np.flatnonzero(cases.groups(split, SCORE)["sarcastic"])
    rows, notes = cases.choose(split, SCORE, np.random.default_rng(0).random((2, len(split))), 3)
    assert rows[: notes.count("sarcastic")] == sarcastic[: notes.count("sarcastic")].tolist()
    assert rows == cases.choose(split, SCORE, np.zeros((2, len(split))), 3)[0]
    assert cases.choose(split, SCORE, np.zeros((2, len(split))), 1) == ([sarcastic[0]], ["sarcastic"])
    assert sorted(cases.choose(split, SCORE, np.zeros((2, len(split))), 10_000)[0]) == list(range(len(split)))
    assert len(results.runs) == 4


def split_of(n=4, **known) -> Split:
    return Split("test", {}, torch.linspace(-1, 1, n), [f"s{i}" for i in range(n)], **known)


def test_sarcasm_counts_where_words_and_mark_can_be_seen():
    evidence = {"sarcasm": np.array([1, 1, 1, 0]), "text_unique_symbol": np.array([2, 0, -1, 2]), "audio_sarcasm_symbol": np.array([1, 1, 0, 1])}
    found = cases.groups(split_of(evidence=evidence), SCORE)
    assert found["sarcastic"].tolist() == [True, False, False, False] and found["others"].tolist() == [False, True, True, True]


def test_where_modalities_have_labels_those_that_disagree_are_a_group():
    labels = {"text": torch.tensor([1.0, 1.0, 0.0, -1.0, 0.0]), "audio": torch.tensor([-1.0, 0.5, -1.0, -0.5, 1.0])}
    assert cases.groups(split_of(5, labels=labels), SCORE)["modalities disagree"].tolist() == [True, False, False, False, False]
    assert cases.groups(split_of(5, labels=labels), CLASSES) == {}
    assert cases.groups(split_of(), SCORE) == {}


def test_where_nothing_is_known_each_method_has_its_own_cases():
    errors = np.array([[0.1, 0.9, 0.5, 0.0], [0.5, 0.1, 0.5, 0.9]])  # first less second: -.4, .8, 0, -.9
    assert cases.choose(split_of(), SCORE, errors, 3) == ([3, 0, 1], ["first method nearer", "first method nearer", "second method nearer"])
    rows, notes = cases.choose(split_of(), SCORE, errors, 9)
    assert rows == [3, 0, 1, 2] and notes[-1] == "alike", "no sample twice"
    case = cases.Case("a", "", "first method nearer", "1", {})
    assert cases.say_chosen([case]).endswith("as many for each method as far as there are.")
    assert cases.say_chosen([case, replace(case, note="alike")]).endswith("; alike: both are equally near.")


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([-0.1, -0.3, -0.2, 0.0], [(1, "first"), (2, "first"), (3, "alike"), (0, "first")]),  # the second is nearer nowhere
        ([0.1, 0.3, 0.2, 0.4], [(3, "second"), (1, "second"), (2, "second"), (0, "second")]),
        ([0.0, 0.0, 0.0, 0.0], [(0, "alike"), (1, "alike"), (2, "alike"), (3, "alike")]),
    ],
)
def test_a_note_says_which_method_is_nearer_in_truth(gaps, expected):
    rows, notes = cases.choose(split_of(), SCORE, np.stack([1 + np.array(gaps), np.ones(4)]), 4)
    assert [(row, note.partition(" ")[0]) for row, note in zip(rows, notes, strict=True)] == expected


def test_scores_classes_and_labels_are_said_in_words():
    assert cases.say(torch.tensor(-1.204), SCORE) == "-1.20" and cases.say(torch.tensor(0.5), TaskSpec("regression", 1.0, 5.0)) == ".50"
    assert cases.say(torch.tensor([0.1, 2.0, 1.0]), CLASSES) == "glad" and cases.say(torch.tensor(2), CLASSES, is_truth=True) == "mad"
    assert cases.say(torch.tensor([0.4, -0.1]), LABELS) == "sad"
    assert cases.say(torch.tensor([0.0, 1.0]), LABELS, is_truth=True) == "glad" and cases.say(torch.tensor([-1.0, -1.0]), LABELS) == "none"


def test_errors_of_scores_classes_and_labels():
    assert cases.sample_errors(torch.tensor([1.0, -1.0]), torch.tensor([0.5, 1.0]), SCORE).tolist() == [0.5, 2.0]
    assert cases.sample_errors(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]), torch.tensor([0, 1]), CLASSES).tolist() == [0.0, 1.0]
    assert cases.sample_errors(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]]), LABELS).tolist() == [0.5]


def test_errors_by_group_are_means_over_its_samples(trained):
    results, data = trained
    frame = cases.group_errors(results, data)
    assert len(frame) == 4 * 2 and set(frame["metric"]) == {"error, sarcastic", "error, others"}
    run = results.only("mmiln").runs[1]
    split = data[1]["test"]
    members = cases.groups(split, SCORE)["others"]
    expected = (cases.outputs(run, data) - split.target).abs().numpy()[members].mean()
    found = frame.query("variant == 'mmiln' and seed == 1 and metric == 'error, others'")["value"]
    assert float(found.iloc[0]) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("kind", ["toy", "toy_classes", "toy_labels"])
def test_any_task_and_data_without_text_or_labels(kind, request, tmp_path):
    data = request.getfixturevalue(kind)
    variants = {"mmiln": {"method": "mmiln", "config": SMALL, "preset": "none"}, "lf_dnn": {"method": "lf_dnn", "preset": "none"}}
    results = compare(data, variants, seeds=1, plan={"epochs": 1}, runs=tmp_path, has_progress=False, workers=1)
    found = cases.cases(results, data, count=4)
    assert found[0].alone_by["audio"] == "own task" and found[0].alone_by["text"] == "readout"
    swapped = Results([results.runs[1], results.runs[0]], results.headline)
    assert set(cases.cases(swapped, data, count=1)[0].alone_by.values()) == {"readout"}, "lf_dnn has no tasks of its own"
    assert len(found) == 4 and all(case.sentence == "" and not case.alone_true for case in found)
    assert found[0].sample in figures.case_table(found)._repr_html_(), "without a sentence the sample's name stands there"
    assert not len(cases.group_errors(results, data))


def test_one_method_alone_and_a_seed_that_is_not_there_are_refused(trained):
    results, data = trained
    with pytest.raises(ConfigError, match="two variants"):
        cases.cases(results.only("mmiln"), data)
    with pytest.raises(ConfigError, match="seed 7"):
        cases.cases(results, data, seed=7)
    assert cases.cases(results, data, seed=1, count=1)[0].sample in data[1]["test"].ids
