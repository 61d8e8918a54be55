"""Data that the tests make themselves, and a folder of its own for every cache."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

# Models of the tests are so small that a second thread costs more than it brings; what the tests start inherits it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from disks import Disk, mounted

from workbench.data.batch import Column, Dataset, ModalitySpec, Spec, Split, TaskSpec

SIZES = {"text": (12, 9), "audio": (8, 14), "vision": (6, 11)}
"""Feature size and longest length of the toy modalities."""

MIXED = {"text": "tokens", "image": "image", "sound": "sequence", "vitals": "vector"}
"""Four modalities of every kind; `sound` is a sequence of its own length."""

VOCABULARY = ("<pad>", "<unknown>", *(f"word{i}" for i in range(10)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that of several test processes none is left alone with a long one at the end."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the user's data root."""
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("data-root")))


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    """16 MB."""
    (path := tmp_path / "disk").mkdir()
    mounted("-t", "tmpfs", "-o", "size=16m", "tmpfs", path)
    yield Disk(path)
    subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def frozen() -> Iterator[Callable[[Path], Path]]:
    """Makes a folder read-only, as a mount is: the rights of files do not stop root."""
    done: list[Path] = []

    def call(folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        mounted("--bind", folder, folder)
        done.append(folder)
        mounted("-o", "remount,ro,bind", folder)
        return folder

    yield call
    for folder in done:
        subprocess.run(["umount", "-l", folder], check=True)


def make_toy(*, classes: int = 0, labels: int = 0, train: int = 96, other: int = 40, seed: int = 0, signal: float = 1.0) -> Dataset:
    """Three ragged sequences whose features follow the label, each with its own strength: text most, vision least."""
    random = np.random.default_rng(seed)

    def split(name: str, n: int) -> Split:
        score = random.uniform(-3, 3, n).astype(np.float32)
        columns = {}
        for strength, (key, (size, longest)) in zip((0.5, 0.3, 0.1), SIZES.items(), strict=True):
            lengths = random.integers(2, longest + 1, n)
            rows = [random.standard_normal((t, size)) + signal * strength * score[i] for i, t in enumerate(lengths)]
            columns[key] = Column.from_list([row.astype(np.float32) for row in rows])
        target = torch.from_numpy(score)
        if classes:
            target = ((target + 3) / 6 * classes).long().clamp(0, classes - 1)
        if labels:
            target = (target[:, None] > torch.linspace(-2, 2, labels)).float()
        return Split(name, columns, target, [f"{name}_{i}" for i in range(n)], groups=[f"{name}-group{i % 5}" for i in range(n)])

    task = TaskSpec("multiclass", classes=tuple(f"class {i}" for i in range(classes))) if classes else TaskSpec("regression")
    task = TaskSpec("multilabel", classes=tuple(f"label {i}" for i in range(labels))) if labels else task
    spec = Spec({key: ModalitySpec("sequence", size, longest) for key, (size, longest) in SIZES.items()}, task)
    return Dataset("toy", spec, {"train": split("train", train), "valid": split("valid", other), "test": split("test", other)})


def make_mixed(kinds: dict[str, str] | None = None, *, task: str = "regression", train: int = 48, other: int = 24, seed: int = 0) -> Dataset:
    """Modalities of any kind and number that follow the label: tokens, images, sequences and vectors, unaligned."""
    kinds = kinds or MIXED
    random = np.random.default_rng(seed)
    sizes = {"tokens": len(VOCABULARY), "image": 1, "sequence": 5, "vector": 7}
    classes = () if task == "regression" else ("first", "second", "third")

    def split(name: str, n: int) -> Split:
        score = random.uniform(-3, 3, n).astype(np.float32)
        columns = {}
        for place, (key, kind) in enumerate(kinds.items()):
            steps = random.integers(2, 8 + 2 * place, n) if kind in ("tokens", "sequence") else np.ones(n, dtype=int)
            shape = {"tokens": (), "image": (1, 4, 4), "sequence": (5,), "vector": (7,)}[kind]
            rows = [random.standard_normal((t, *shape)) + 0.4 * score[i] for i, t in enumerate(steps)]
            if kind == "tokens":
                rows = [np.clip(np.round(row * 1.5 + 6), 2, len(VOCABULARY) - 1).astype(np.int64) for row in rows]
            columns[key] = Column.from_list([row if kind == "tokens" else row.astype(np.float32) for row in rows])
        target = torch.from_numpy(score)
        if task == "multiclass":
            target = ((target + 3) / 2).long().clamp(0, 2)
        if task == "multilabel":
            target = (target[:, None] > torch.linspace(-2, 2, 3)).float()
        return Split(name, columns, target, [f"{name}_{i}" for i in range(n)], groups=[f"{name}-group{i % 5}" for i in range(n)])

    def spec(place: int, kind: str) -> ModalitySpec:
        longest = 7 + 2 * place if kind in ("tokens", "sequence") else 1
        vocabulary = VOCABULARY if kind == "tokens" else ()
        return ModalitySpec(kind, sizes[kind], longest, vocabulary=vocabulary, shape=(1, 4, 4) if kind == "image" else ())

    modalities = {key: spec(place, kind) for place, (key, kind) in enumerate(kinds.items())}
    splits = {"train": split("train", train), "valid": split("valid", other), "test": split("test", other)}
    return Dataset("mixed", Spec(modalities, TaskSpec(task, classes=classes)), splits)


@pytest.fixture
def toy() -> Dataset:
    """A regression in [-3, 3] with 96 training samples."""
    return make_toy()


@pytest.fixture
def toy_classes() -> Dataset:
    """Four classes of the same data."""
    return make_toy(classes=4)


@pytest.fixture
def toy_labels() -> Dataset:
    """Three yes/no labels of the same data."""
    return make_toy(labels=3)


@pytest.fixture
def toy_maker() -> Callable[..., Dataset]:
    """`make_toy`, for tests that need other sizes or seeds."""
    return make_toy


@pytest.fixture
def mixed_maker() -> Callable[..., Dataset]:
    """`make_mixed`, for tests that need modalities of other kinds and numbers."""
    return make_mixed
