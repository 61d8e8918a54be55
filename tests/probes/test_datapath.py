"""The drawing is made from the model: every input reaches the prediction, every parameter on the way is counted once."""

from importlib.util import find_spec

import pytest
import torch

from workbench import balance, methods
from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec
from workbench.probes.datapath import MOST, data_path

SMALL = {"hidden_size": 8, "post_size": 5}
METHODS = sorted(name for name, module in methods.METHODS.items() if find_spec(module))

IN_TRAINING = {
    "generative.cvae": tuple(f"fusion.generators.{name}.encoder." for name in ("text", "audio", "vision")),
    "self_mm": ("supervision.",),
    "mmim": ("supervision.",),
    "mmiln": ("supervision.",),
    "delta_attention": ("supervision.", "fusion.decode."),
}
"""Parts of these are used by the losses of a training only."""


def built(name, data, **config):
    return methods.build(name, {**SMALL, **config}, data.spec, seed=1)


def drawn(name, data, rows=6, **config):
    return data_path(built(name, data, **config), data["valid"].batch(torch.arange(rows)))


SEEN = {}


def once(name, data):
    """The drawing of a method, made once for several tests; the toy data is the same each time."""
    if name not in SEEN:
        SEEN[name] = drawn(name, data)
    return SEEN[name]


def reached(nodes, edges, start):
    """All that a node leads to."""
    found, waiting = {start}, [start]
    while waiting:
        new = set(edges.loc[edges["from"] == waiting.pop(), "to"]) - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize("name", METHODS)
def test_every_input_reaches_the_prediction(toy, name):
    nodes, edges, _ = once(name, toy)
    output = nodes.loc[nodes["kind"] == "output", "id"].item()
    inputs = nodes[nodes["kind"] == "input"]
    assert inputs["name"].tolist() == inputs["modality"].tolist() == list(toy.modalities)
    assert all(output in reached(nodes, edges, number) for number in inputs["id"])
    assert len(nodes) <= MOST
    assert (edges["from"] < edges["to"]).all()
    assert set(edges.to_numpy().ravel()) == set(nodes["id"]), "no part hangs in the air"


@pytest.mark.parametrize("name", METHODS)
def test_parameters_are_counted_once(toy, name):
    nodes, _, unseen = once(name, toy)
    model = built(name, toy)
    assert nodes["parameters"].sum() + unseen == sum(p.numel() for p in model.parameters())
    own = IN_TRAINING.get(name, ())
    assert unseen == sum(p.numel() for key, p in model.named_parameters() if key.startswith(own)), "what only a training uses"
    assert bool(unseen) == (name in IN_TRAINING)


@pytest.mark.parametrize("name", METHODS)
def test_modalities_are_those_that_reach_a_part(toy, name):
    nodes, edges, _ = once(name, toy)
    inputs = nodes[nodes["kind"] == "input"].set_index("modality")["id"]
    sets = {key: reached(nodes, edges, number) for key, number in inputs.items()}
    for row in nodes.itertuples():
        have = [key for key, found in sets.items() if row.id in found]
        assert row.modality == (have[0] if len(have) == 1 else ""), row.name


def test_lf_dnn_part_by_part(toy):
    nodes, edges, _ = drawn("lf_dnn", toy)
    first = nodes.set_index("id").loc[[3, 4, 9, 10, 11], ["name", "kind", "modality", "parameters"]].to_numpy().tolist()
    # By hand: 12 * 8 + 8 and 8 * 8 + 8 of text; 24 * 5 + 5 + 5 + 1 of the head.
    assert first == [
        ["mean MLP", "encoder", "text", 104],
        ["projection", "projection", "text", 72],
        ["concatenate", "operation", "", 0],
        ["head", "head", "", 131],
        ["prediction", "output", "", 0],
    ]
    assert nodes["shape"].tolist()[9:] == ["6 × 24", "6 × 1", "6"]
    # fmt: off
    assert edges.to_numpy().tolist() == [[0, 3], [1, 5], [2, 7], [3, 4], [4, 9], [5, 6], [6, 9], [7, 8], [8, 9], [9, 10], [10, 11]]
    # fmt: on


def test_attention_is_a_part_and_goes_round_what_it_weighs(toy):
    nodes, edges, _ = drawn("awf", toy)
    part = nodes[nodes["kind"] == "fusion part"].iloc[0]
    assert (part["name"], part["parameters"], part["shape"]) == ("modality attention", 18, "6 × 3")
    after = edges.loc[edges["from"] == part["id"], "to"].item()
    assert nodes.loc[after, "kind"] == "operation" and "multiply" in nodes.loc[after, "name"]
    assert (edges["to"] == after).sum() == 4  # three projections and their weights


def test_balance_stands_once_for_each_modality(toy):
    model = built("lf_dnn", toy)
    model.balance = balance.build("b_fusion", model.modalities)
    nodes, _, _ = data_path(model, toy["valid"].batch(torch.arange(4)))
    rows = nodes[nodes["name"] == "balance"]
    assert sorted(rows["modality"]) == sorted(toy.modalities)
    assert rows["parameters"].sum() == 3


def test_a_model_is_left_as_it_was(toy):
    model = built("lf_dnn", toy).train()
    before = torch.get_rng_state()
    data_path(model, toy["valid"].batch(torch.arange(4)))
    assert model.training and torch.equal(before, torch.get_rng_state())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def many(count):
    """A data set with that many sequences."""
    random = torch.Generator().manual_seed(0)

    def split(name, n):
        columns = {f"view {i}": Column.from_list([torch.randn(3 + i, 4, generator=random).numpy() for _ in range(n)]) for i in range(count)}
        return Split(name, columns, torch.randn(n, generator=random), [f"{name}{i}" for i in range(n)])

    spec = Spec({f"view {i}": ModalitySpec("sequence", 4, 3 + i) for i in range(count)}, TaskSpec("regression"))
    return Dataset("many", spec, {"train": split("train", 8), "valid": split("valid", 6)})


@pytest.mark.parametrize("count", [2, 8])
def test_few_and_many_modalities(count):
    data = many(count)
    nodes, edges, _ = drawn("attention.cross", data)
    output = nodes.loc[nodes["kind"] == "output", "id"].item()
    assert all(output in reached(nodes, edges, number) for number in nodes.loc[nodes["kind"] == "input", "id"])
    assert len(nodes) <= MOST
    streams = nodes[nodes["name"].str.contains(" from | × ")]
    assert streams["calls"].sum() == count * (count - 1)


@pytest.mark.parametrize("name", ["constraint.dcca", "constraint.contrastive", "constraint.cmd"])
def test_what_only_a_loss_sees_does_not_lead_to_the_prediction(toy, name):
    """The head hears the three vectors side by side, and nothing of the terms that relate them."""
    nodes, edges, _ = data_path(methods.build(name, SMALL, toy.spec), toy["train"].batch(torch.arange(6)))
    nodes = nodes.set_index("id")
    (head,) = nodes.index[nodes["kind"] == "head"]
    (before,) = edges.loc[edges["to"] == head, "from"]
    assert nodes.loc[before, "shape"] == "6 × 24"
    assert nodes.loc[edges.loc[edges["to"] == before, "from"], "kind"].tolist() == ["projection"] * 3
