"""Parts of a drawing and what flows between them: how a graph of many small steps becomes one that can be read."""

from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.probes.following import Step

OUTPUT = ("output", "prediction")
"""The node of the prediction."""


@dataclass
class Node:
    """A part of the drawing: the steps that it stands for."""

    key: tuple
    kind: str
    name: str
    module: str = ""
    steps: list[Step] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    calls: int = 1

    @property
    def first(self) -> int:
        """Number of its first step."""
        return self.steps[0].number

    @property
    def reach(self) -> frozenset[str]:
        """The modalities that have a part in it."""
        return frozenset().union(*(step.reach for step in self.steps))

    @property
    def parameters(self) -> set[str]:
        """Names of the parameters it uses."""
        return {name for step in self.steps for name in step.parameters}


@dataclass
class Parts:
    """A graph without circles.

    Args:
        nodes: key to node.
        edges: pairs of keys, from and to, in the order of the pass (a dictionary without values keeps it).
    """

    nodes: dict[tuple, Node]
    edges: dict[tuple[tuple, tuple], None]

    def before(self, key: tuple) -> list[tuple]:
        """What leads straight to a node."""
        return [a for a, b in self.edges if b == key]

    def after(self, key: tuple) -> set[tuple]:
        """All that a node leads to."""
        seen: set[tuple] = set()
        waiting = [key]
        while waiting:
            start = waiting.pop()
            new = {b for a, b in self.edges if a == start} - seen
            seen |= new
            waiting += new
        return seen

    def ends(self, key: tuple) -> set[tuple]:
        """What a node leads to: the prediction alone where it leads there."""
        found = self.after(key)
        ends = {end for end in found if self.nodes[end].kind in ("output", "loss")}
        return {OUTPUT} if OUTPUT in ends else ends

    def in_order(self) -> list[tuple]:
        """Each node after all that lead to it; of those that could come next the one that ran first."""
        order: list[tuple] = []
        left = sorted(self.nodes, key=lambda key: self.nodes[key].first)
        while left:
            key = next(key for key in left if not any(before in left for before in self.before(key)))
            order.append(key)
            left.remove(key)
        return order

    def keep_forward(self) -> None:
        """A loop's way back is not drawn: an edge goes to a node that began later, or to one that does not lead to where it starts."""
        began = {key: node.first for key, node in self.nodes.items()}
        others = [(a, b) for a, b in self.edges if a != b and began[a] > began[b]]
        self.edges = {(a, b): None for a, b in self.edges if a != b and began[a] <= began[b]}
        for a, b in others:
            if a not in self.after(b):
                self.edges[a, b] = None

    def drop_dead_ends(self) -> None:
        """What leads to no end of the pass is not drawn."""
        alive = {key for key, node in self.nodes.items() if node.kind in ("output", "loss")}
        waiting = list(alive)
        while waiting:
            new = set(self.before(waiting.pop())) - alive
            alive |= new
            waiting += new
        self.nodes = {key: node for key, node in self.nodes.items() if key in alive or node.kind == "input"}
        self.edges = {(a, b): None for a, b in self.edges if a in alive and b in alive}

    def drop_passing(self) -> None:
        """An operation on what turns out to come from one place only is part of that place."""
        for key, node in list(self.nodes.items()):
            before = self.before(key)
            if node.kind == "operation" and not node.parameters and len(before) == 1:
                self.contract(before[0], key, is_absorbed=True)

    def gather_losses(self) -> None:
        """What is computed for one term of the loss only is part of that term, where it has no parameters."""
        for key in reversed(list(self.nodes)):
            after = [b for a, b in self.edges if a == key]
            if self.nodes[key].kind == "operation" and not self.nodes[key].parameters and len(after) == 1 and self.nodes[after[0]].kind == "loss":
                self.contract(after[0], key, is_absorbed=True)

    def merge_neighbours(self, are_one: Callable[[Node, Node], bool], join: Callable[[Node, Node], None]) -> None:
        """Makes one of two nodes where one leads to the other and both to the same ends.

        Args:
            are_one: whether they may be one.
            join: gives the first the name of both.
        """
        is_changed = True
        while is_changed:
            is_changed = False
            for a, b in list(self.edges):
                first, second = self.nodes[a], self.nodes[b]
                if are_one(first, second) and self.ends(a) == self.ends(b) and not self.is_joined_otherwise(a, b):
                    join(first, second)
                    self.contract(a, b)
                    is_changed = True
                    break

    def contract(self, kept: tuple, gone: tuple, *, is_absorbed: bool = False) -> None:
        """Two nodes made one."""
        if not is_absorbed:
            node = self.nodes[gone]
            self.nodes[kept].steps = sorted(self.nodes[kept].steps + node.steps, key=lambda step: step.number)
            self.nodes[kept].shape = node.shape
        del self.nodes[gone]
        renamed = {gone: kept}
        edges = ((renamed.get(a, a), renamed.get(b, b)) for a, b in self.edges)
        self.edges = {(a, b): None for a, b in edges if a != b}

    def is_joined_otherwise(self, a: tuple, b: tuple) -> bool:
        """True where another way leads from a to b: making them one would close a circle."""
        return any(b in self.after(end) for start, end in self.edges if start == a and end != b)

    def merge_siblings(self) -> None:
        """Makes one of the parts of one list or dictionary of modules: for models that are too large to draw."""
        families: dict[str, list[tuple]] = {}
        for key, node in self.nodes.items():
            if node.kind == "fusion part" and node.module.count(".") > 1:
                families.setdefault(node.module.rpartition(".")[0], []).append(key)
        for path, (kept, *others) in families.items():
            alike = 1
            for key in others:
                if key not in self.after(kept) and kept not in self.after(key):
                    self.contract(kept, key)
                    alike += 1
            if alike > 1:
                self.nodes[kept].name, self.nodes[kept].calls = f"{alike} × {path.partition('.')[2].replace('.', ' ').replace('_', ' ')}", alike
