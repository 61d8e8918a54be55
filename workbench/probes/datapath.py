"""The way from the inputs to the prediction, read off a forward pass: what a drawing of the model shows.

nodes, edges, unseen = data_path(run.model(), data["valid"].batch(torch.arange(32)))
figures.data_path(nodes, edges, unseen, title="mult")
"""

import re
from collections.abc import Iterable

import pandas as pd
import torch
from torch import nn

from workbench.data.batch import Batch
from workbench.model import FusionModel
from workbench.probes.following import Call, Follow, Step
from workbench.probes.parts import OUTPUT, Node, Parts
from workbench.surroundings import RANDOM

MOST = 40
"""Nodes of a drawing; a larger model is drawn with coarser parts."""

WORDS = {
    "cat": "concatenate", "concat": "concatenate", "stack": "stack", "add": "add", "radd": "add", "iadd": "add", "sub": "subtract",
    "rsub": "subtract", "mul": "multiply", "rmul": "multiply", "imul": "multiply", "truediv": "divide", "div": "divide", "matmul": "matrix product",
    "bmm": "matrix product", "mm": "matrix product", "rmatmul": "matrix product", "einsum": "product", "outer": "outer product",
    "scaled_dot_product_attention": "attention", "where": "choose", "setitem": "put in place", "copy": "put in place", "lerp": "mix",
    "cdist": "distances", "cosine_similarity": "similarity", "addcmul": "multiply, add", "baddbmm": "matrix product", "linear": "linear layer",
    "getitem": "pick", "gather": "pick", "index_select": "pick", "dist": "distance", "max": "largest", "maximum": "largest",
}  # fmt: skip
PLAIN = (nn.Linear, nn.Sequential, nn.LayerNorm, nn.Identity, nn.LSTM, nn.LSTMCell, nn.GRU, nn.GRUCell, nn.Bilinear, nn.Conv1d, nn.Embedding)
"""Modules whose class says less than the name they were given."""


def data_path(model: FusionModel, batch: Batch) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """The parts of a model that data runs through, from one forward pass in evaluation mode, and what flows where.

    A part of the fusion is a module one level below it, or two where modalities meet inside; tensors of different origin that are brought together
    outside any such module make an operation. What a loop does over and over stands once. Masks are left out.

    Args:
        model: any model of the package.
        batch: a few samples.

    Returns:
        Nodes (id, name, kind: input, encoder, projection, operation, fusion part, head, loss, output; modality or "" where several have a part in
        it; shape in words; parameters: how many that no earlier node has; module: its path; calls) and edges (from, to), both in the order of the
        pass; and how many parameters of the model no node has: those that a training alone uses (a posterior, heads and bounds of the losses).
    """
    follow, ends = _followed(model, batch)
    drawing = Drawing(model, follow, ends, is_open=True)
    if len(drawing.parts.nodes) > MOST:
        drawing = Drawing(model, follow, ends, is_open=False)
    if len(drawing.parts.nodes) > MOST:
        drawing.parts.merge_siblings()
    nodes, edges = drawing.tables()
    return nodes, edges, sum(p.numel() for p in model.parameters()) - int(nodes["parameters"].sum())


def _followed(model: FusionModel, batch: Batch) -> tuple[Follow, dict[tuple[str, str], tuple[frozenset[int], tuple[int, ...]]]]:
    """The steps of a forward pass, and where its ends come from: the prediction and the terms of the loss."""
    follow = Follow(model)
    for name in model.modalities:
        follow.start(name, batch[name].values, reach=name)
    was_training = model.training
    try:
        with RANDOM, torch.no_grad(), torch.random.fork_rng(devices=[]), follow.watching(model.eval()):
            output = model(batch)
    finally:
        model.train(was_training)
    ends = {("loss", name): (follow.origin(value), tuple(value.shape)) for name, value in output.losses.items() if follow.origin(value)}
    return follow, {**ends, OUTPUT: (follow.origin(output.prediction), tuple(output.prediction.shape))}


class Drawing:
    """The steps of a pass, put together to parts that have a name.

    Args:
        model: the model that was followed.
        follow: its steps and calls.
        ends: kind and name of each end to the steps it was made by and its shape.
        is_open: show what is inside a part of the fusion where modalities meet.
    """

    def __init__(self, model: FusionModel, follow: Follow, ends: dict, *, is_open: bool) -> None:
        self.model = model
        self.modules = dict(model.named_modules())
        self.parts = Parts({}, {})
        self._calls = _by_path(follow.calls)
        self._leads = _leads(follow, ends)
        self._open = self._meeting_places(follow) if is_open else set()
        places = [self._place(step) for step in follow.steps]
        edges = [(places[source], places[step.number]) for step in follow.steps for source in sorted(step.sources)]
        for (kind, name), (sources, shape) in ends.items():
            last = Step(len(follow.steps), "", (), ("", 0), sources, _reach(follow, sources))
            self.parts.nodes[kind, name] = Node((kind, name), kind, name, steps=[last], shape=shape)
            edges += [(places[source], (kind, name)) for source in sorted(sources)]
        self.parts.edges = dict.fromkeys(edges)
        self.parts.keep_forward()
        self.parts.drop_dead_ends()
        self.parts.drop_passing()
        self.parts.gather_losses()
        self.parts.merge_neighbours(self._are_one, self._join)

    def _meeting_places(self, follow: Follow) -> set[str]:
        """Parts directly below the fusion that are given tensors of different modalities, and whose own parts can be told apart."""
        given: dict[str, set[frozenset[str]]] = {}
        for step in follow.steps:
            if len(step.modules) > 2:
                call = self._call(step.modules[2], step.number)
                given.setdefault(call.path, set()).update(follow.steps[source].reach for source in step.sources if source < call.first)
        return {path for path, reaches in given.items() if path.startswith("fusion") and len(reaches) > 1}

    def _call(self, path: str, number: int) -> Call:
        """The call of a module that a step ran in."""
        return next(call for call in self._calls[path] if call.first <= number < call.end)

    def _place(self, step: Step) -> tuple:
        """The node of a step, made where there is none yet."""
        node = self._new_node(step)
        node = self.parts.nodes.setdefault(node.key, node)
        node.steps.append(step)
        if node.kind == "operation":
            node.shape = step.shape
        return node.key

    def _new_node(self, step: Step) -> Node:
        if not step.modules:
            return Node(("input", step.name), "input", step.name, shape=step.shape)
        for path in step.modules[1:]:
            part, _, rest = path.partition(".")
            if part in ("encoders", "projections") and "." not in rest:
                kind = part.removesuffix("s")
                return self._module_node(path, kind, step)
            if part == "head":
                return self._module_node(path, "head", step)
            if part == "fusion" and rest and path not in self._open and self._is_one(path):
                return self._module_node(path, "fusion part", step)
        path = step.modules[-1]
        inside = next((place for place in step.modules if place in self._open), path)
        if path.startswith("balance"):
            return Node(("balance", step.reach), "operation", "balance", path)
        # One line of code may make the prediction's part and a loss term's: they are told apart.
        return Node((path, step.site, step.reach, self._leads[step.number]), "operation", _operation_name(step), inside)

    def _is_one(self, path: str) -> bool:
        """True for a module each of whose calls gives tensors of the same modalities only: it can stand as one part."""
        return all(len({reach for reach, _ in call.results}) == 1 for call in self._calls[path])

    def _module_node(self, path: str, kind: str, step: Step) -> Node:
        call = self._call(path, step.number)
        reach = call.results[0][0] if call.results else step.reach
        shape = max((shape for _, shape in call.results), key=_numbers, default=step.shape)
        calls = sum(1 for each in self._calls[path] if each.results and each.results[0][0] == reach)
        return Node((path, reach), kind, self._module_name(path, kind), path, shape=shape, calls=calls)

    def _module_name(self, path: str, kind: str) -> str:
        module = self.modules[path]
        if kind in ("projection", "head"):
            return kind
        if kind == "encoder":
            return _class_words(module)
        named = [part for part in path.split(".")[1:] if not part.isdigit()]
        own, said = named[-1].replace("_", " "), _class_words(module)
        if "_" in named[-1] or isinstance(module, PLAIN):
            return own if "_" in named[-1] or len(named) < 2 or not self._says_modality(own) else f"{named[-2]} {own}".replace("_", " ")
        if own in said or own.isdigit():
            return said
        return f"{said} {own}" if self._says_modality(own) else f"{own}: {said}"

    def _says_modality(self, word: str) -> bool:
        """True where a part is named by the modality it belongs to."""
        return word in self.model.modalities

    def _are_one(self, first: Node, second: Node) -> bool:
        """Operations, and parts of one opened module, of the same modalities."""
        if first.reach != second.reach or "balance" in (first.name, second.name):
            return False
        if first.kind == second.kind == "operation":
            return True
        return self._opened(first) is not None and self._opened(first) == self._opened(second)

    def _opened(self, node: Node) -> str | None:
        """The opened module that a node lies in."""
        return next((path for path in self._open if node.module == path or node.module.startswith(f"{path}.")), None)

    def _join(self, first: Node, second: Node) -> None:
        """Gives the first the name of both: what they do, or the module they lie in."""
        if first.kind == second.kind == "operation":
            words = dict.fromkeys([*first.name.split(", "), *second.name.split(", ")])
            first.name = ", ".join(list(words)[:3])
            return
        opened = self._opened(first)
        first.kind, first.name, first.module = "fusion part", self._module_name(opened, "fusion part"), opened

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Nodes and edges as tables."""
        sizes = {name: p.numel() for name, p in self.model.named_parameters()}
        numbers = {key: place for place, key in enumerate(self.parts.in_order())}
        rows, counted = [], set()
        for key, number in numbers.items():
            node = self.parts.nodes[key]
            own = node.parameters - counted
            counted |= own
            reach = node.reach
            row = {"id": number, "name": node.name, "kind": node.kind, "modality": next(iter(reach)) if len(reach) == 1 else ""}
            row |= {"shape": " × ".join(map(str, node.shape)) or "1", "parameters": sum(sizes[name] for name in own), "module": node.module}
            rows.append(row | {"calls": node.calls})
        edges = sorted((numbers[a], numbers[b]) for a, b in self.parts.edges)
        return pd.DataFrame(rows), pd.DataFrame(edges, columns=["from", "to"])


def _by_path(calls: Iterable[Call]) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = {}
    for call in calls:
        found.setdefault(call.path, []).append(call)
    return found


def _reach(follow: Follow, sources: Iterable[int]) -> frozenset[str]:
    return frozenset().union(*(follow.steps[number].reach for number in sources))


def _leads(follow: Follow, ends: dict) -> list[frozenset[tuple[str, str]]]:
    """The ends that each step leads to: the prediction alone where it leads there."""
    found: list[set[tuple[str, str]]] = [set() for _ in follow.steps]
    for end, (sources, _) in ends.items():
        for number in sources:
            found[number].add(end)
    for step in reversed(follow.steps):
        for source in step.sources:
            found[source] |= found[step.number]
    return [frozenset({OUTPUT} if OUTPUT in end else end) for end in found]


def _numbers(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())


def _operation_name(step: Step) -> str:
    """`concatenate`, `multiply`; where a parameter has a part in it, that parameter's name."""
    if step.parameters:
        named = [part for part in step.parameters[0].split(".")[1:] if not part.isdigit()]
        return " ".join(named[-2:]).replace("_", " ")
    names = [name.strip("_") for name in (step.name, *step.then)]
    return ", ".join(dict.fromkeys(WORDS.get(name, name.replace("_", " ")) for name in names))


def _class_words(module: nn.Module) -> str:
    """`LSTM encoder` of LSTMEncoder, `mean MLP` of MeanMLP."""
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z][a-z]+|[A-Z]+|[0-9]+", type(module).__name__)
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words)
