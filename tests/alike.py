"""Whether two runs are the same training."""

import torch
import xarray as xr

from workbench.runs import Run


def same_numbers(one: Run, other: Run) -> None:
    """Bitwise the same metrics, traces and weights (seconds aside)."""
    drop = ("seconds",)
    assert {k: v for k, v in one.metrics.items() if k not in drop} == {k: v for k, v in other.metrics.items() if k not in drop}
    for group in ("steps", "probes", "predictions/valid", "predictions/test"):
        xr.testing.assert_identical(one.trace[group].to_dataset(), other.trace[group].to_dataset())
    xr.testing.assert_identical(one.trace["history"]["score"], other.trace["history"]["score"])
    first, second = one.model().state_dict(), other.model().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
