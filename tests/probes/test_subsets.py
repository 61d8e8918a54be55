"""Predictions for every subset of the modalities, against a model whose answers can be written down."""

import numpy as np
import pytest
import torch
from probes.linear_fusion import contribution, linear_fusion, weights_of

from workbench.data.batch import TaskSpec
from workbench.errors import ConfigError
from workbench.fitting import fit
from workbench.probes import subsets
from workbench.probes.subsets import Subsets, chances, scale, shapley, subset_predictions, subsets_of


@pytest.fixture
def mixed(mixed_maker):
    return mixed_maker()


def test_subsets_are_the_whole_first_and_nothing_last():
    assert subsets_of(("a", "b")) == [("a", "b"), ("a",), ("b",), ()]
    assert len(subsets_of("abcde")) == 32
    assert subsets_of("abcdef") == [tuple("abcdef"), *(tuple(x for x in "abcdef" if x != away) for away in "fedcba"), ()]


@pytest.mark.parametrize("treatment", ["mask", "zero"])
def test_a_linear_model_loses_exactly_what_a_modality_brought(mixed, treatment):
    model = linear_fusion(mixed)
    found = subset_predictions(model, mixed, treatment=treatment)
    brought = {name: contribution(model, mixed, "valid", name).numpy() for name in mixed.modalities}
    assert len(found.said) == 16
    for left, said in found.said.items():
        expected = float(model.head.bias.detach()) + sum((brought[name] for name in left), np.zeros(len(mixed["valid"])))
        np.testing.assert_allclose(said, expected, atol=1e-5)
    np.testing.assert_allclose(found.moved, np.abs(np.stack(list(brought.values()))), atol=1e-5)


def test_mean_puts_the_training_mean_of_steps_and_of_word_vectors_there(mixed):
    model = linear_fusion(mixed)
    found = subset_predictions(model, mixed, treatment="mean")
    for name in mixed.modalities:
        column, table = mixed["train"].columns[name], model.encoders[name].features.embedding
        x = table(column.values).detach() if table is not None else column.values.flatten(1)
        change = x.double().mean(0).float() @ weights_of(model, name)[0] - contribution(model, mixed, "valid", name)
        np.testing.assert_allclose(found.without(name) - found.whole, change.numpy(), atol=1e-4)


def test_shapley_values_of_a_sum_and_of_a_product():
    added = {(): 1.0, ("a",): 3.0, ("b",): 0.5, ("a", "b"): 2.5}
    assert shapley(added) == pytest.approx({"a": 2.0, "b": -0.5})
    product = {(): 0.0, ("a",): 0.0, ("b",): 0.0, ("a", "b"): 6.0}
    assert shapley(product) == pytest.approx({"a": 3.0, "b": 3.0})
    # Three modalities by hand: v(abc) = 6, v(ab) = 3, all else 0. a: 1/3 * (6 - 0) + 1/6 * 3 = 2.5.
    three = dict.fromkeys(subsets_of("abc"), 0.0) | {tuple("abc"): 6.0, ("a", "b"): 3.0}
    assert shapley(three) == pytest.approx({"a": 2.5, "b": 2.5, "c": 1.0})
    with pytest.raises(ConfigError, match="need 4 subsets, got 3"):
        shapley({key: value for key, value in added.items() if key})


def test_it_is_kept_beside_the_run_and_found_again(toy, tmp_path, monkeypatch):
    run = fit("lf_dnn", toy, config={"hidden_size": 4, "post_size": 4}, plan={"epochs": 1}, runs=tmp_path)
    first = subset_predictions(run, toy)
    (path,) = run.path.glob("subsets-valid-mask-*.npz")
    monkeypatch.setattr(subsets, "_ask", lambda *args: pytest.fail("asked again"))
    again = subset_predictions(run, toy)
    assert list(again.said) == list(first.said)
    assert all(np.array_equal(again.said[key], first.said[key]) for key in first.said)
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:100])  # half a file is no file
    healed = subset_predictions(run, toy)
    assert np.array_equal(healed.whole, first.whole)
    assert not [other for other in run.path.iterdir() if other.name.endswith(".tmp")]


def test_other_data_has_a_file_of_its_own(toy, toy_maker, tmp_path):
    run = fit("lf_dnn", toy, config={"hidden_size": 4, "post_size": 4}, plan={"epochs": 1}, runs=tmp_path)
    subset_predictions(run, toy)
    subset_predictions(run, toy_maker(seed=1))
    subset_predictions(run, toy, treatment="zero")
    assert len(list(run.path.glob("subsets-*.npz"))) == 3


def test_a_folder_that_cannot_be_written_costs_no_answer(toy, tmp_path, monkeypatch):
    run = fit("lf_dnn", toy, config={"hidden_size": 4, "post_size": 4}, plan={"epochs": 1}, runs=tmp_path)

    def full(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(subsets, "_write", full)
    assert subset_predictions(run, toy).whole.shape == (40,)


def test_nothing_stays_changed_in_the_model(mixed):
    model = linear_fusion(mixed).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    subset_predictions(model, mixed, treatment="mean")
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not [module for module in model.modules() if module._forward_hooks]


def test_chances_and_scale():
    said = np.array([[0.0, np.log(3.0)], [0.0, 0.0]])
    several = TaskSpec("multiclass", classes=("a", "b"))
    np.testing.assert_allclose(chances(said, several), [[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_allclose(scale(said, TaskSpec("multilabel", classes=("a", "b")), 1), [0.75, 0.5])
    np.testing.assert_allclose(scale(np.array([1.5]), TaskSpec("regression")), [1.5])


def test_moved_is_the_largest_change_of_a_probability():
    task = TaskSpec("multiclass", classes=("a", "b", "c"))
    whole, other = np.zeros((1, 3)), np.log(np.array([[2.0, 1.0, 1.0]]))
    found = Subsets({("x", "y"): whole, ("x",): whole, ("y",): other, (): whole}, ("x", "y"), task, "mask", ("only",))
    np.testing.assert_allclose(found.moved, [[0.5 - 1 / 3], [0.0]])


def test_unknown_names_are_named(mixed):
    with pytest.raises(ConfigError, match='unknown muting "mute"'):
        subset_predictions(linear_fusion(mixed), mixed, treatment="mute")
    found = Subsets({("a", "b"): np.zeros(1)}, ("a", "b"), TaskSpec("regression"), "mask", ("only",))
    with pytest.raises(ConfigError, match="nobody asked what is said of a alone"):
        found.without("b")
