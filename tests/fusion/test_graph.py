"""Graphs over modalities and over samples against their naive transcription, and what must never happen along an edge."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from reference import graph as reference

from workbench import methods
from workbench.data.batch import Batch, Column, Modality, ModalitySpec, Split, TaskSpec
from workbench.errors import ConfigError
from workbench.fusion.context import Context
from workbench.fusion.graph import FusedGraph, ModalityGraph
from workbench.fusion.sample_graph import Anchors, SampleGraph, pooled_input
from workbench.plan import Plan
from workbench.taps import record
from workbench.tasks import make_task
from workbench.training import TrainingState, training

NAMES = ("text", "audio", "vision", "touch")
PRESENT = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0]], dtype=bool)
"""All there, one missing, one there alone, none, two."""
SIZE = 3


def some(seed: int = 0) -> tuple[dict[str, torch.Tensor], Context]:
    """Representations (zeros where a sample lacks the modality) and their context."""
    torch.manual_seed(seed)
    present = torch.from_numpy(PRESENT)
    z = {name: torch.randn(len(PRESENT), SIZE, dtype=torch.float64) * present[:, i, None] for i, name in enumerate(NAMES)}
    return z, Context({name: present[:, i, None] for i, name in enumerate(NAMES)}, {}, torch.arange(len(PRESENT)))


def stacked(z: dict[str, torch.Tensor]) -> np.ndarray:
    return torch.stack(list(z.values()), 1).numpy()


def numbers(layer: torch.nn.Linear) -> tuple[np.ndarray, np.ndarray]:
    return layer.weight.detach().numpy().T, layer.bias.detach().numpy()


GRAPHS = {
    "similarity": ({}, lambda z, p: reference.similarity_relu(z, p)),
    "softmax": ({"normalise": "softmax"}, lambda z, p: reference.similarity_softmax(z, p)),
    "knn": ({"neighbours": "knn", "nearest": 1}, lambda z, p: reference.knn(z, p, 1)),
    "knn, two": ({"neighbours": "knn", "nearest": 2}, lambda z, p: reference.knn(z, p, 2)),
    "given": (
        {"neighbours": "given", "edges": [("audio", "text"), ("touch", "vision")]},
        lambda z, p: reference.given(4, [(0, 1), (2, 3)], p),
    ),
}


@pytest.mark.parametrize("readout", ["mean", "concatenation"])
@pytest.mark.parametrize("kind", GRAPHS)
def test_modality_graph_meets_the_transcription(kind, readout):
    settings, adjacency = GRAPHS[kind]
    z, context = some()
    fusion = ModalityGraph(NAMES, SIZE, layers=2, readout=readout, **settings).double()
    balanced = {name: (0.5 + i) * value for i, (name, value) in enumerate(z.items())}
    with record(fusion, "*") as trace:
        fused, losses = fusion(balanced, z, context)
    assert losses == {}
    assert fused.shape == (len(PRESENT), fusion.size)
    layers = [numbers(layer.linear) for layer in fusion.layers]
    for n, present in enumerate(PRESENT):
        expected = adjacency(stacked(z)[n], present)
        nodes = reference.convolutions(stacked(balanced)[n], expected, layers)
        wanted = getattr(reference, f"readout_{readout}")(nodes, present)
        np.testing.assert_allclose(fused[n].detach().numpy(), wanted, atol=1e-10)
        np.testing.assert_allclose(trace.dataset()["adjacency"].values[n], expected, atol=1e-6)
        total = expected.sum() or 1.0
        np.testing.assert_allclose(trace.dataset()["influence"].values[n], expected.sum(0) / total, atol=1e-6)


def test_the_task_cannot_bend_a_graph_that_was_built_beforehand():
    z, context = some()
    fusion = ModalityGraph(NAMES, SIZE).double()
    leaves = {name: value.clone().requires_grad_() for name, value in z.items()}
    constants = {name: value.clone() for name, value in z.items()}
    fusion(constants, leaves, context)[0].sum().backward()
    assert all(value.grad is None for value in leaves.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"neighbours": "given"}, "neighbours=given needs edges"),
        ({"edges": [("text", "audio")]}, "neighbours=similarity would not look at them"),
        ({"neighbours": "given", "edges": [("text", "vison")]}, r'unknown modality in edges "vison"\. Did you mean vision'),
    ],
)
def test_edges_that_will_not_do(toy, settings, message):
    with pytest.raises(ConfigError, match=message):
        methods.build("graph.modalities", {"hidden_size": 4, **settings}, toy.spec)


def test_a_wrong_prior_graph_keeps_those_apart_that_belong_together(toy):
    """What vision says reaches only its own node where the given graph connects text and audio alone."""
    model = methods.build("graph.modalities", {"hidden_size": 4, "neighbours": "given", "edges": [("text", "audio")]}, toy.spec).double()
    batch = toy["valid"].batch(torch.arange(6))
    changed = {**batch.modalities, "vision": Modality(batch["vision"].values + 1, batch["vision"].mask)}
    moved = (model(batch).fused - model(Batch(changed, batch.target, batch.index)).fused).abs().unflatten(1, (3, 4)).sum((0, 2))
    assert moved[0] == moved[1] == 0
    assert moved[2] > 0


@pytest.mark.parametrize("readout", ["mean", "concatenation"])
def test_fused_graph_meets_the_transcription(readout):
    z, context = some(1)
    fusion = FusedGraph(NAMES, SIZE, layers=2, readout=readout).double()
    with record(fusion, "*") as trace:
        fused, _ = fusion(z, z, context)
    weights = [
        {
            "listener": numbers_of(layer.listener), "speaker": numbers_of(layer.speaker), "joint": numbers_of(layer.joint),
            "joint_bias": layer.joint.bias.detach().numpy(), "a": layer.score.weight.detach().numpy()[0],
            "message": numbers_of(layer.message), "message_bias": layer.message.bias.detach().numpy(),
        }
        for layer in fusion.layers
    ]  # fmt: skip
    for n, present in enumerate(PRESENT):
        nodes, alive, maps = reference.fused_graph(stacked(z)[n], present, numbers(fusion.pair), weights)
        np.testing.assert_allclose(fused[n].detach().numpy(), getattr(reference, f"readout_{readout}")(nodes, alive), atol=1e-10)
        for number, alpha in enumerate(maps):
            np.testing.assert_allclose(trace.dataset()[f"layers.{number}.adjacency"].values[n], alpha, atol=1e-6)
    seen = trace.dataset()
    assert seen["layers.0.adjacency"].coords["node"].values.tolist()[-1] == "vision+touch"
    np.testing.assert_allclose(seen["influence"].sum("modality").values, [1, 1, 1, 0, 1], atol=1e-6)
    assert seen["influence"].values[2].tolist() == [0, 0, 1, 0]


def numbers_of(layer: torch.nn.Linear) -> np.ndarray:
    return layer.weight.detach().numpy().T


def test_the_fused_graph_is_learned_with_the_task():
    z, context = some()
    fusion = FusedGraph(NAMES, SIZE).double()
    fusion(z, z, context)[0].square().sum().backward()
    layer = fusion.layers[0]
    assert all(float(p.grad.abs().sum()) > 0 for p in (layer.score.weight, layer.listener.weight, layer.speaker.weight, layer.joint.weight))


# Graphs over samples


def vectors(n: int = 12, seed: int = 0) -> Split:
    """Two vector modalities; the second is missing in every third sample."""
    random = np.random.default_rng(seed)
    one = Column.from_rows(random.standard_normal((n, 3)).astype(np.float32))
    two = Column.from_rows(5 + 2 * random.standard_normal((n, 2)).astype(np.float32))
    return Split("train", {"one": one, "two": replace(two, present=torch.arange(n) % 3 > 0)}, torch.zeros(n), [str(i) for i in range(n)])


SPECS = {"one": ModalitySpec("vector", 3), "two": ModalitySpec("vector", 2)}


def standardised(split: Split, other: Split | None = None) -> list[dict[str, np.ndarray | None]]:
    """Each sample of `other` (of the split itself, where none is given) by the split's own numbers, None where a modality is missing."""
    rows = []
    for i in range(len(other or split)):
        row = {}
        for name, column in split.columns.items():
            there = np.ones(len(split), bool) if column.present is None else column.present.numpy()
            known = column.values.numpy()[there].astype(np.float64)
            asked = (other or split).columns[name]
            is_there = asked.present is None or bool(asked.present[i])
            row[name] = (asked.values[i].numpy().astype(np.float64) - known.mean(0)) / known.std(0) if is_there else None
        rows.append(row)
    return rows


@pytest.mark.parametrize("layers", [1, 2])
def test_sample_graph_meets_the_transcription(layers):
    train, valid = vectors(), vectors(5, seed=1)
    fusion = SampleGraph(SPECS, 2, nearest=3, layers=layers, own_share=0.7).double()
    for module in (fusion.anchors, fusion.memory):
        module.begin(train, make_task_of_regression())
    torch.manual_seed(0)
    remembered = torch.randn(12, 4, dtype=torch.float64)
    seen = np.arange(12) % 4 != 1  # some have not been in a batch yet
    fusion.memory.write(torch.from_numpy(np.flatnonzero(seen)), remembered[seen])
    own = torch.randn(5, 4, dtype=torch.float64)
    batch = valid.batch(torch.arange(5))
    context = Context({name: m.mask for name, m in batch.modalities.items()}, batch.modalities, batch.index)
    fused, _ = fusion.eval()({"one": own[:, :2], "two": own[:, 2:]}, {}, context)
    anchors = standardised(train)
    weights = [numbers(layer) for layer in fusion.layers]

    def chosen(x: dict, itself: int | None = None) -> list[int]:
        distance = reference.sample_distances(x, anchors, SPECS)
        order = [i for i in np.argsort(distance, kind="stable") if i != itself and np.isfinite(distance[i])]
        return [i for i in order[:3] if seen[i]]

    level = list(remembered.numpy() * seen[:, None])
    says = list(own.numpy())
    for weight, bias in weights:
        says = [
            reference.sample_layer(h, [level[i] for i in chosen(x)], 0.7, weight, bias) for h, x in zip(says, standardised(train, valid), strict=True)
        ]
        level = [reference.sample_layer(level[i], [level[j] for j in chosen(anchors[i], i)], 0.7, weight, bias) for i in range(12)]
    np.testing.assert_allclose(fused.detach().numpy(), np.array(says), atol=1e-10)


def make_task_of_regression():
    return make_task(TaskSpec("regression"))


def test_a_training_sample_is_never_its_own_neighbour():
    train = vectors()
    anchors = Anchors(SPECS, nearest=11, most=100)
    anchors.begin(train, make_task_of_regression())
    batch = train.batch(torch.arange(12))
    chosen, distance = anchors.train()(batch.modalities, batch.index)
    assert bool(distance.isfinite().any(1).all())
    assert not bool((chosen == batch.index[:, None])[distance.isfinite()].any())
    # Not in evaluation either, where only its features tell it.
    again, distance_again = anchors.eval()(batch.modalities, batch.index)
    assert torch.equal(again, chosen)
    torch.testing.assert_close(distance_again, distance)
    # Another split's rows have the same numbers: those of train are not left out for that.
    other = vectors(seed=1).batch(torch.arange(12))
    found, distance = anchors(other.modalities, other.index)
    assert bool((found == other.index[:, None])[distance.isfinite()].any())


def test_anchors_are_bounded_and_always_the_same():
    train = vectors(40)
    drawn = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        anchors = Anchors(SPECS, nearest=3, most=10)
        anchors.begin(train, make_task_of_regression())
        drawn.append(anchors.rows.tolist())
    assert drawn[0] == drawn[1] == sorted(set(drawn[0]))
    assert len(drawn[0]) == 10


def test_a_feature_that_never_changes_tells_no_samples_apart():
    rows = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    rows[:, 1] = 0.1
    split = Split("train", {"one": Column.from_rows(rows)}, torch.zeros(50), [str(i) for i in range(50)])
    anchors = Anchors({"one": ModalitySpec("vector", 3)}, nearest=3, most=50)
    anchors.begin(split, make_task_of_regression())
    assert anchors.spread.isinf().tolist() == [False, True, False]
    assert bool((anchors.features[:, 1] == 0).all())


def test_tokens_are_compared_by_their_shares():
    values, mask = torch.tensor([[2, 2, 3, 0], [3, 0, 0, 0]]), torch.tensor([[True, True, True, False], [True, False, False, False]])
    pooled = pooled_input(Modality(values, mask), ModalitySpec("tokens", 5), torch.float64)
    assert pooled.tolist() == [[0, 0, 2 / 3, 1 / 3, 0], [0, 0, 0, 1, 0]]
    hashed = pooled_input(Modality(values * 7000, mask), ModalitySpec("tokens", 30_000), torch.float64)
    assert hashed.shape == (2, 256)
    assert hashed.sum(1).tolist() == pytest.approx([1, 1])
    assert sorted(hashed[0][hashed[0] > 0].tolist()) == pytest.approx([1 / 3, 2 / 3])


def test_memories_follow_the_training_and_are_in_the_checkpoint(toy):
    model = methods.build("graph.samples", {"hidden_size": 4, "anchors": 30, "nearest": 3}, toy.spec, seed=0)
    plan = Plan(epochs=2, batch_size=16, probe_every=0, is_traced=False, device="cpu")
    for _ in training(model, toy, plan, state=TrainingState.start(model, plan)):
        pass
    said, is_seen = model.fusion.memory.read()
    assert said.shape == (30, 12)
    assert bool(is_seen.all())
    other = methods.build("graph.samples", {"hidden_size": 4, "anchors": 30, "nearest": 3}, toy.spec, seed=5)
    other.load_state_dict(model.state_dict())
    batch = toy["valid"].batch(torch.arange(40))
    with record(model.eval(), "fusion.neighbours") as trace:
        assert torch.equal(model(batch).prediction, other.eval()(batch).prediction)
    assert set(np.unique(trace.dataset()["fusion.neighbours"])) <= set(model.fusion.anchors.rows.tolist())
    # The answer depends on what is remembered.
    other.fusion.memory.kept.rows.zero_()
    assert not torch.allclose(model(batch).prediction, other(batch).prediction)


def test_no_label_reaches_the_graph_over_samples(toy):
    changed = replace(toy, splits={**toy.splits, "train": replace(toy["train"], target=torch.zeros(96))})
    found = []
    for data in (toy, changed):
        model = methods.build("graph.samples", {"hidden_size": 4}, data.spec, seed=0)
        for module in (model.fusion.anchors, model.fusion.memory):
            module.begin(data["train"], make_task(data.spec.task))
        model.train()(data["train"].batch(torch.arange(96)))
        found.append(model.eval()(data["valid"].batch(torch.arange(9))).prediction)
    assert torch.equal(*found)


def test_with_memories_neither_padding_nor_batch_mates_matter(mixed_maker):
    data = mixed_maker()
    model = methods.build("graph.samples", {"hidden_size": 4}, data.spec, seed=0)
    plan = Plan(epochs=1, batch_size=16, probe_every=0, is_traced=False, device="cpu")
    for _ in training(model, data, plan, state=TrainingState.start(model, plan)):
        pass
    model = model.double().eval()
    batch = data["valid"].batch(torch.arange(10))
    together = model(batch).prediction
    alone = torch.cat([model(data["valid"].batch(torch.tensor([i]))).prediction for i in range(10)])
    torch.testing.assert_close(together, alone, atol=1e-10, rtol=0)
    elsewhere = Batch(batch.modalities, batch.target, batch.index + 7)
    assert torch.equal(model(elsewhere).prediction, together)
