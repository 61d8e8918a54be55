"""The lines of Python that do what the controls say, with what was changed when."""

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.session import Change

FIGURE = """steps = frames([run])["steps"]
figures.show(figures.gradient_magnitude(steps[steps["quantity"] == "last_layer"].drop(columns="quantity")))
run.metrics"""


def named(values: Mapping[str, Any]) -> str:
    """`, balance='b_fusion', plan={'seed': 0}`; what says nothing is left out."""
    return "".join(f", {key}={value!r}" for key, value in values.items() if value not in ({}, None))


def fit_code(method: str, data: str, options: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """A training to which nothing happened: its run is the studio's, found again and not trained twice."""
    return f"""from workbench import figures
from workbench.data import load
from workbench.fitting import fit
from workbench.runs import frames

data = load({data!r}{named(options)})
run = fit({method!r}, data{named(settings)}, reuse=True)
{FIGURE}"""


def steered_code(
    method: str, data: str, options: Mapping[str, Any], settings: Mapping[str, Any], changes: Sequence[Change], *, end: int | None = None
) -> str:
    """A training with what was changed, after which epoch.

    Args:
        method, data, options, settings: as it began.
        changes: in order.
        end: the epoch after which it was stopped; None: it ended by itself.
    """
    lines = [
        f"    ({change.epoch}, {change.setting!r}, {change.after!r}{f', {dict(change.more)!r}' if change.more else ''}),"
        f"  # you changed this after epoch {change.epoch}"
        for change in changes
    ]
    lines += [f"    ({end}, 'training', 'stopped'),"] if end is not None else []
    listed = "\n".join(lines)
    return f"""from workbench import figures
from workbench.runs import frames
from workbench.session import steer

changes = [
{listed}
]
run = steer({method!r}, {data!r}, changes{named({"options": dict(options)})}{named(settings)})
{FIGURE}"""
