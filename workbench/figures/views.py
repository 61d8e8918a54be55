"""A picture for whatever a model lets be seen: one function that picks the figure by the kind of view."""

from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go

from workbench.errors import unknown
from workbench.figures.crossmodal import attention_map
from workbench.figures.gates import gates_over_time, weights_by_modality
from workbench.figures.matrices import adjacency, factors
from workbench.figures.modality_gates import gates_by_modality
from workbench.figures.vectors import spaces


def draw_view(view: Mapping[str, Any]) -> go.Figure:
    """The figure of one view (see `workbench.probes.views.views`).

    Args:
        view: kind (attention, gate, gates, weights, adjacency, factors or spaces), values (labelled), title, quantity; for attention and gates also
            modality, words and rate of each axis of steps, by its name.

    Raises:
        ConfigError: the kind is unknown.
    """
    if view["kind"] not in DRAW:
        raise unknown("kind of view", str(view["kind"]), DRAW)
    return DRAW[view["kind"]](view)


def _attention(view: Mapping[str, Any]) -> go.Figure:
    query, key = view["values"].dims[-2:]
    steps = view["steps"]
    return attention_map(
        view["values"], query=steps[query]["modality"], key=steps[key]["modality"], query_words=steps[query]["words"], key_words=steps[key]["words"],
        query_rate=steps[query]["rate"], key_rate=steps[key]["rate"], title=view["title"],
    )  # fmt: skip


def _gate(view: Mapping[str, Any]) -> go.Figure:
    return gates_over_time(view["values"], **view["steps"][view["values"].dims[0]], quantity=view["quantity"], title=view["title"])


def _gates(view: Mapping[str, Any]) -> go.Figure:
    return gates_by_modality(view["values"], quantity=view["quantity"], title=view["title"])


def _weights(view: Mapping[str, Any]) -> go.Figure:
    return weights_by_modality(view["values"], quantity=view["quantity"], title=view["title"])


def _adjacency(view: Mapping[str, Any]) -> go.Figure:
    return adjacency(view["values"], quantity=view["quantity"], title=view["title"])


def _factors(view: Mapping[str, Any]) -> go.Figure:
    return factors(view["values"], quantity=view["quantity"], title=view["title"])


def _spaces(view: Mapping[str, Any]) -> go.Figure:
    return spaces(view["values"], view.get("specific"), title=view["title"], words=view["words"])


DRAW: dict[str, Callable[[Mapping[str, Any]], go.Figure]] = {
    "attention": _attention,
    "gate": _gate,
    "gates": _gates,
    "weights": _weights,
    "adjacency": _adjacency,
    "factors": _factors,
    "spaces": _spaces,
}
