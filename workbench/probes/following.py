"""Where does each tensor of a forward pass come from? Every operation is seen, and asked which earlier ones its arguments were made by."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

NEW = ("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "randint_like")
"""Functions that take a tensor's shape, not its values."""

TOLD = ("mean", "sum", "prod", "amax", "softmax", "sigmoid", "tanh")
"""Functions of one tensor that a drawing names."""

SHAPED_BY = ("to", "type_as", "view_as", "expand_as", "reshape_as")
"""Functions whose further tensors say how the first is to look."""


@dataclass
class Step:
    """One operation that has a parameter, or brings together tensors of different origins.

    Args:
        number: its place in the order of the pass.
        name: the function's name.
        modules: paths of the modules it ran in, from the outermost.
        site: file and line of the code that called it: the same for each turn of a loop.
        sources: the steps its arguments were made by.
        reach: the modalities that have a part in it.
        parameters: names of the parameters it used.
        shape: of its result, after what the same module then does to it alone.
        then: names of what the same module then does to the result that is worth telling (`mean`, `softmax`, ...).
    """

    number: int
    name: str
    modules: tuple[str, ...]
    site: tuple[str, int]
    sources: frozenset[int]
    reach: frozenset[str]
    parameters: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    then: tuple[str, ...] = ()


@dataclass
class Call:
    """One call of a module.

    Args:
        path: the module's.
        first, end: its steps are those from `first` to before `end`.
        results: modalities and shape of each tensor that it gave.
    """

    path: str
    first: int
    end: int = -1
    results: list[tuple[frozenset[str], tuple[int, ...]]] = field(default_factory=list)


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in containers of any depth."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            yield from tensors(getattr(value, item.name))


class Follow(TorchFunctionMode):
    """Follows tensors through a forward pass. Masks (bool) are not followed: they say what is real, they carry no value.

    Args:
        model: the model whose parameters and modules are known by name.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.calls: list[Call] = []
        self._names = {id(p): name for name, p in model.named_parameters()}
        # The tensors are kept beside their origin: a freed tensor's id would be given to the next one.
        self._origins: dict[int, tuple[Tensor, frozenset[int], frozenset[str]]] = {}
        self._inside: list[str] = []
        self._is_off = False

    def origin(self, value: Tensor) -> frozenset[int]:
        """The steps that a tensor was made by."""
        return self._known(value)[1]

    def start(self, name: str, value: Tensor, *, reach: str) -> None:
        """An input."""
        step = Step(len(self.steps), name, (), ("", 0), frozenset(), frozenset([reach]), (), tuple(value.shape))
        self.steps.append(step)
        self._origins[id(value)] = (value, frozenset([step.number]), frozenset())

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator["Follow"]:
        """Follows what runs inside the block."""
        hooks = []
        # A function with its own gradient is one operation; torch tells modes nothing of it, only of what its insides do to copies of its arguments.
        plain = torch.autograd.Function.__dict__["apply"]
        torch.autograd.Function.apply = classmethod(lambda cls, *args, **kwargs: self._apply(plain.__get__(None, cls), args, kwargs))
        try:
            for path, module in model.named_modules():
                hooks.append(module.register_forward_pre_hook(lambda module, args, path=path: self._enter(path)))
                hooks.append(module.register_forward_hook(lambda module, args, result: self._leave(result)))
            with self:
                yield self
        finally:
            torch.autograd.Function.apply = plain
            for hook in hooks:
                hook.remove()

    def _apply(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """A function with its own gradient, as one operation."""
        self._is_off = True
        try:
            result = function(*args, **kwargs)
        finally:
            self._is_off = False
        self._see(function.__self__.__name__, (args, kwargs), result)
        return result

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if self._is_off:
            return result
        name = getattr(function, "__name__", "")
        if name == "__setitem__" or (name.endswith("_") and not name.endswith("__")):
            self._see(name, (args, kwargs), args[0])
        elif name not in NEW and not name.startswith("new_"):
            self._see(name, args[:1] if name in SHAPED_BY else (args, kwargs), result)
        return result

    def _enter(self, path: str) -> None:
        self._inside.append(path)
        self.calls.append(Call(path, len(self.steps)))

    def _leave(self, result: Any) -> None:
        path = self._inside.pop()
        call = next(call for call in reversed(self.calls) if call.path == path and call.end < 0)
        call.end = len(self.steps)
        call.results = [(self.reach(value), tuple(value.shape)) for value in tensors(result) if self.origin(value)]

    def _see(self, name: str, given: Any, result: Any) -> None:
        """The origin of what an operation gave; a step of its own where it has parameters or several origins."""
        results = [value for value in tensors(result) if value.dtype != torch.bool]
        if not results:
            return
        known = [self._known(value) for value in tensors(given)]
        sources = frozenset().union(*(each[1] for each in known))
        parameters = frozenset().union(*(each[2] for each in known))
        if sources and (len(sources) > 1 or parameters):
            sources, parameters = frozenset([self._step(name, sources, parameters, results[0])]), frozenset()
        elif sources:
            self._go_on(name, self.steps[min(sources)], results[0])
        for value in results:
            self._origins[id(value)] = (value, sources, parameters)

    def _step(self, name: str, sources: frozenset[int], parameters: frozenset[str], result: Tensor) -> int:
        step = Step(
            len(self.steps), name, tuple(self._inside), _site(), sources, self._reach(sources), tuple(sorted(parameters)), tuple(result.shape)
        )
        self.steps.append(step)
        return step.number

    def _go_on(self, name: str, step: Step, result: Tensor) -> None:
        """What a module does to the result of its own operation belongs to that operation."""
        if step.modules and step.modules == tuple(self._inside):
            step.shape = tuple(result.shape)
            step.then += (name,) if name in TOLD and name not in step.then else ()

    def reach(self, value: Tensor) -> frozenset[str]:
        """The modalities that have a part in a tensor."""
        return self._reach(self.origin(value))

    def _reach(self, sources: frozenset[int]) -> frozenset[str]:
        return frozenset().union(*(self.steps[number].reach for number in sources))

    def _known(self, value: Tensor) -> tuple[Tensor, frozenset[int], frozenset[str]]:
        """A tensor, the steps it was made by, and the parameters it was made from."""
        if id(value) in self._names:
            return value, frozenset(), frozenset([self._names[id(value)]])
        return self._origins.get(id(value), (value, frozenset(), frozenset()))


def _site() -> tuple[str, int]:
    """File and line of the nearest code that is neither torch's nor this file's."""
    frame = sys._getframe(1)
    while frame.f_back is not None and (frame.f_code.co_filename == __file__ or "/torch/" in frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
