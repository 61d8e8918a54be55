"""Named, labelled views into a running model.

    self.alpha = Tap("batch", "modality", modality=("text", "audio"))      # in a module's __init__
    weights = self.alpha(weights)                                          # in its forward: the identity

    with record(model, "*.alpha") as trace:                                # outside
        model(batch)
    trace.dataset()                                                        # xarray.Dataset, dims and coordinates named

A tap's name is the path of its module. Hooks come off when the block ends, also after an exception.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch

import numpy as np
import xarray as xr
from torch import Tensor, nn

from workbench.errors import ConfigError, unknown


class Tap(nn.Module):
    """An identity that knows the axes of what passes through it.

    Args:
        axes: names of the axes, in order; the first is `batch` wherever samples are told apart.
        coordinates: names along an axis, e.g. `modality=("text", "audio")`.
    """

    def __init__(self, *axes: str, **coordinates: Sequence[str]) -> None:
        super().__init__()
        self.axes = axes
        self.coordinates = {axis: tuple(names) for axis, names in coordinates.items()}

    def forward(self, value: Tensor) -> Tensor:
        return value

    @property
    def is_recorded(self) -> bool:
        """True while somebody records this tap (attention then takes the path that has weights)."""
        return bool(self._forward_hooks)

    def extra_repr(self) -> str:
        return ", ".join(self.axes)


class Trace:
    """What the recorded taps saw, in the order of the calls."""

    def __init__(self) -> None:
        self._seen: dict[str, list[np.ndarray]] = {}
        self._taps: dict[str, Tap] = {}

    def see(self, name: str, tap: Tap, value: Tensor) -> None:
        """Keeps one passing value (copied to the CPU)."""
        self._taps[name] = tap
        self._seen.setdefault(name, []).append(value.detach().float().cpu().numpy())

    def dataset(self) -> xr.Dataset:
        """All recorded values: joined along `batch`, shorter calls filled with nan on their other axes; what has no samples as the calls' mean."""
        arrays = {}
        for name, values in self._seen.items():
            tap = self._taps[name]
            joined = _join(values) if tap.axes[0] == "batch" else _over_calls(values)
            coordinates = {axis: list(names) for axis, names in tap.coordinates.items()}
            # Two taps may have axes of one name and different lengths (text time, audio time): each keeps its own.
            axes = [axis if axis in ("batch", *coordinates) else f"{name}.{axis}" for axis in tap.axes]
            arrays[name] = xr.DataArray(joined, dims=axes, coords=coordinates)
        return xr.Dataset(arrays)


def _over_calls(values: list[np.ndarray]) -> np.ndarray:
    """What does not tell samples apart: its mean over the calls, or the last one's where their shapes differ."""
    return np.mean(values, axis=0) if len({value.shape for value in values}) == 1 else values[-1]


def _join(values: list[np.ndarray]) -> np.ndarray:
    """Arrays one after the other along their first axis, the other axes filled with nan up to the longest."""
    longest = np.max([value.shape[1:] for value in values], axis=0) if values[0].ndim > 1 else ()
    filled = [
        np.pad(value, [(0, 0), *((0, int(n) - m) for n, m in zip(longest, value.shape[1:], strict=True))], constant_values=np.nan) for value in values
    ]
    return np.concatenate(filled)


def taps(model: nn.Module) -> dict[str, Tap]:
    """All taps of a model by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Tap)}


@contextmanager
def record(model: nn.Module, *patterns: str) -> Iterator[Trace]:
    """Records the taps whose names match one of the patterns (`*` matches any part of a path).

    Raises:
        ConfigError: a pattern matches no tap of the model, or it has none.
    """
    known = taps(model)
    if patterns and not known:
        raise ConfigError(f'nothing to record by "{patterns[0]}": the model has no taps', do="give a module of it a Tap where its values pass")
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in known):
            raise unknown("tap", pattern, known)
    trace = Trace()
    hooks = []
    try:
        for name, tap in known.items():
            if any(fnmatch(name, pattern) for pattern in patterns):
                hooks.append(tap.register_forward_hook(lambda module, args, value, name=name: trace.see(name, module, value)))
        yield trace
    finally:
        for hook in hooks:
            hook.remove()
