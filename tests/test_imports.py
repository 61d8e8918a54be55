"""The direction of the house: who may import whom (architecture.md, section 3), read from the source."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import workbench

PACKAGE = Path(workbench.__file__).parent

LAYERS = (
    ("errors", "statistics", "resampling", "ranking", "surroundings", "locks", "storage", "clusters", "yaml_lines"),
    ("data", "tasks", "sample_scores", "taps", "readout", "sequences", "second_order", "ranks", "shares", "launching"),
    ("encoders", "text", "attention", "memory", "fusion", "balance", "supervision"),
    ("model", "stages"),
    ("methods",),
    ("plan",),
    ("tracing", "training", "runs", "recording", "starting", "ordering", "fitting", "session"),
    ("probes",),
    ("experiments", "outcomes", "predicting", "programs", "exporting"),
    ("studies", "sweeps"),
    ("taxonomy", "evidence", "depth", "cases", "delta", "ladder", "rules_lab", "comparison", "pairing", "standing", "run_sets", "robust_lab"),
    ("papers", "claims"),
    ("report", "bench", "listing", "widgets"),
    ("cli",),
    ("__main__",),
)
"""From the ground up; a part may import its own layer and those below it."""

ALONE = "figures"
"""Takes labelled data and gives figures; notebooks bring it together with the rest."""

FIGURES_MAY_USE = {"errors", "statistics", "figures"}
FIGURES_MUST_NOT_LOAD = {"torch", "transformers", "torchmetrics", "safetensors"}

LEVEL = {part: number for number, layer in enumerate(LAYERS) for part in layer}

WITH_TORCH = {
    "data",
    "tasks",
    "taps",
    "readout",
    "sequences",
    "second_order",
    "ranks",
    "shares",
    "launching",
    "attention",
    "memory",
    "supervision",
    "encoders",
    "text",
    "fusion",
    "balance",
    "model",
    "stages",
    "methods",
    "tracing",
    "plan",
    "training",
    "runs",
    "recording",
    "starting",
    "ordering",
    "fitting",
}


@dataclass(frozen=True)
class Import:
    """One imported module, and where it is imported: `is_lazy` inside a function."""

    source: str
    target: str
    line: int
    is_lazy: bool

    @property
    def place(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}"


def modules(package: Path) -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node: ast.AST, *, is_lazy: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Import statements below a node; those for type checkers do not count."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, is_lazy
        elif is_type_checking(child):
            for other in child.orelse:
                yield from walk(ast.Module([other], []), is_lazy=is_lazy)
        else:
            yield from walk(child, is_lazy=is_lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def imports(name: str, text: str, known: set[str], *, is_package: bool = False) -> list[Import]:
    """What a module imports; `from a import b` is the module a.b where that is one, else a."""
    found = []
    for node, is_lazy in walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        else:
            base = node.module or ""
            if node.level:
                parents = name.split(".")[: len(name.split(".")) - node.level + is_package]
                base = ".".join([*parents, *([base] if base else [])])
            targets = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base for alias in node.names]
        found += [Import(name, target, node.lineno, is_lazy) for target in dict.fromkeys(targets)]
    return found


def all_imports(package: Path = PACKAGE) -> list[Import]:
    paths = modules(package)
    return [found for name, path in paths.items() for found in imports(name, path.read_text(), set(paths), is_package=path.name == "__init__.py")]


def part(module: str) -> str:
    """`data` of `workbench.data.card`; nothing for the package itself and for others."""
    names = module.split(".")
    return names[1] if names[0] == "workbench" and len(names) > 1 else ""


def upward(found: list[Import]) -> list[str]:
    """Imports that go up."""
    return [i.place for i in found if part(i.source) in LEVEL and part(i.target) in LEVEL and LEVEL[part(i.target)] > LEVEL[part(i.source)]]


def cycle(found: list[Import]) -> list[str]:
    """Modules that import each other in a circle while they are loaded; empty where there is none."""
    graph: dict[str, list[str]] = {}
    for i in found:
        if not i.is_lazy:
            graph.setdefault(i.source, []).append(i.target)
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for target in graph.get(module, []):
            circle = visit(target, [*path, module])
            if circle:
                return circle
        done.add(module)
        return []

    return next((circle for module in graph if (circle := visit(module, []))), [])


# The package


def test_every_part_has_its_layer():
    parts = {part(name) for name in modules(PACKAGE)} - {""}
    assert parts - set(LEVEL) - {ALONE} == set(), "say in LAYERS where the new part belongs"


def test_imports_point_one_way():
    assert upward(all_imports()) == []


def test_no_cycles():
    assert cycle(all_imports()) == []


def test_figures_stand_alone():
    found = [i for i in all_imports() if part(i.source) == ALONE]
    assert found
    assert [i.place for i in found if i.target.startswith("workbench") and part(i.target) not in FIGURES_MAY_USE] == []
    assert [i.place for i in found if i.target.split(".")[0] in FIGURES_MUST_NOT_LOAD] == []


def test_only_what_meets_people_imports_figures():
    allowed = {ALONE, "studies", "report", "listing", "bench", "widgets", "cli"}
    assert [i.place for i in all_imports() if part(i.target) == ALONE and part(i.source) not in allowed] == []


@pytest.mark.parametrize("heavy", ["torchmetrics", "transformers", "plotly", "matplotlib", "seaborn", "papermill", "nbconvert", "dask", "sklearn"])
def test_heavy_packages_wait_until_they_are_needed(heavy):
    eager = [i.place for i in all_imports() if i.target.split(".")[0] == heavy and not i.is_lazy and part(i.source) in WITH_TORCH - {"data"}]
    assert eager == []


def test_the_command_line_imports_only_light_things():
    eager = {i.target.split(".")[0] for i in all_imports() if i.source == "workbench.cli" and not i.is_lazy}
    assert eager <= {"json", "sys", "pathlib", "typing", "typer", "workbench"}
    ours = {part(i.target) for i in all_imports() if i.source == "workbench.cli" and not i.is_lazy} - {""}
    assert ours == {"errors"}


def test_the_ground_needs_no_torch():
    assert [i.place for i in all_imports() if part(i.source) in LAYERS[0] and i.target.split(".")[0] in FIGURES_MUST_NOT_LOAD] == []


# The reader of imports sees what it must


KNOWN = {"workbench", "workbench.data", "workbench.data.batch", "workbench.model", "workbench.errors"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import workbench.model", [("workbench.model", False)]),
        ("from workbench import model", [("workbench.model", False)]),
        ("from workbench.model import FusionModel", [("workbench.model", False)]),
        ("from . import batch", [("workbench.data.batch", False)]),
        ("from .batch import Batch", [("workbench.data.batch", False)]),
        ("from .. import errors", [("workbench.errors", False)]),
        ("from ..errors import near", [("workbench.errors", False)]),
        ("def f():\n    from workbench.model import Output", [("workbench.model", True)]),
        ("class A:\n    import torch", [("torch", False)]),
        ("try:\n    import torch\nexcept ImportError:\n    pass", [("torch", False)]),
        ("if TYPE_CHECKING:\n    from workbench.model import Output", []),
        ("if typing.TYPE_CHECKING:\n    import torch\nelse:\n    import numpy", [("numpy", False)]),
    ],
)
def test_imports_are_read(text, expected):
    assert [(i.target, i.is_lazy) for i in imports("workbench.data.card", text, KNOWN)] == expected


def test_relative_imports_of_a_package_start_in_it():
    assert [i.target for i in imports("workbench.data", "from . import batch\nfrom ..errors import near", KNOWN, is_package=True)] == [
        "workbench.data.batch",
        "workbench.errors",
    ]


def test_an_import_upward_is_found_also_inside_a_function():
    found = imports("workbench.data.card", "def f():\n    from workbench.model import Output", KNOWN)
    assert upward(found) == ["workbench.data.card:2 imports workbench.model"]
    assert upward(imports("workbench.model", "from workbench.data.card import card", KNOWN)) == []


def test_a_cycle_is_found():
    def edge(source: str, target: str, *, is_lazy: bool = False) -> Import:
        return Import(source, target, 1, is_lazy)

    assert cycle([edge("a", "b"), edge("b", "c"), edge("c", "b")]) == ["b", "c", "b"]
    assert cycle([edge("a", "b"), edge("b", "c"), edge("a", "c")]) == []
    assert cycle([edge("a", "b"), edge("b", "a", is_lazy=True)]) == []
