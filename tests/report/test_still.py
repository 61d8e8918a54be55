"""Still pictures of plotly figures: places on the axes, ink that follows the theme, nothing that breaks a page."""

import json
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from workbench.figures import gradient_magnitude, score_table, unimodal_and_joint
from workbench.report.headline import HEADLINE
from workbench.report.outputs import PLOTLY, plotly_figure
from workbench.report.page import told_figure
from workbench.report.scales import axes_of, plain_array
from workbench.report.still import ink, still, thumbnail

BOX = (0, 0, 100, 200)


def as_data(figure: go.Figure) -> dict:
    """The figure as it stands in a notebook."""
    return json.loads(figure.to_json())


def test_numbers_are_read_as_plotly_writes_them() -> None:
    written = as_data(go.Figure(go.Heatmap(z=np.arange(6.0).reshape(2, 3))))["data"][0]["z"]
    assert "bdata" in written and plain_array(written).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_values_stand_where_their_axis_puts_them() -> None:
    layout = {"xaxis": {"type": "log", "range": [0, 2], "domain": [0.5, 1]}, "yaxis": {"range": [0, 10]}}
    axes = axes_of({"data": [{"type": "scatter", "x": [1, 100], "y": [0, 10]}], "layout": layout}, BOX)
    assert [axes["x"].place(value) for value in (1, 10, 100)] == [50, 75, 100] and np.isnan(axes["x"].place(-1))
    assert [axes["y"].place(value) for value in (0, 10)] == [200, 0]
    assert list(axes["x"].ticks()) == [(50, "1"), (75, "10"), (100, "100")]


def test_names_get_a_place_each_and_a_reversed_axis_begins_above() -> None:
    figure = {"data": [{"type": "bar", "x": ["a", "b"], "y": [1, 2]}], "layout": {}}
    assert [axes_of(figure, BOX)["x"].place(name) for name in ("a", "b")] == [25, 75]
    figure = {"data": [{"type": "heatmap", "y": ["a", "b"], "z": [[1], [2]]}], "layout": {"yaxis": {"autorange": "reversed"}}}
    assert [axes_of(figure, BOX)["y"].place(name) for name in ("a", "b")] == [50, 150]


def test_a_bar_is_as_high_as_its_value_and_stacks() -> None:
    bars = [{"type": "bar", "x": ["a"], "y": [value], "marker": {"color": color}} for value, color in ((30, "#0072B2"), (70, "#D55E00"))]
    svg = still({"data": bars, "layout": {"barmode": "stack", "height": 228, "yaxis": {"range": [0, 100]}}})
    found = re.findall(r'<rect x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)" fill="(#\w+)"', svg)
    assert found == [("134.0", "30.0", "#0072B2"), ("64.0", "70.0", "#D55E00")]


def test_a_real_figure_has_its_labels_its_titles_and_its_hues() -> None:
    places = [(seed, epoch, name, 10.0**-place) for seed in (0, 1) for epoch in (1, 2, 3) for place, name in enumerate(("text", "audio"))]
    frame = pd.DataFrame(places, columns=["seed", "epoch", "modality", "value"]).assign(variant="lf_dnn")
    svg = still(as_data(gradient_magnitude(frame)))
    words = re.sub(r"<[^>]+>", "|", svg)
    assert all(word in words for word in ("epoch", "gradient magnitude", "text", "audio", "lf_dnn"))
    assert "#0072B2" in svg and "#D55E00" in svg and "nan" not in svg
    scores = pd.DataFrame(
        [("m", "text", "alone", seed, 0.8 + seed / 100) for seed in range(3)], columns=["variant", "label", "kind", "seed", "value"]
    )
    drawn = as_data(unimodal_and_joint(scores, metric="accuracy", ceiling={"all": 0.9}))
    assert "ceiling of all .900" in re.sub(r"<[^>]+>", "", still(drawn))
    small = thumbnail(drawn)
    assert small.startswith('<svg viewBox="0 0 176 110"') and "<text" not in small and len(small) < 6000


def test_ink_follows_the_theme_and_no_colour_is_code() -> None:
    assert [ink(color) for color in ("#1a1a1a", "#FFFFFF", "#0072B2", None)] == ["currentColor", "var(--paper)", "#0072B2", "currentColor"]
    assert ink('red" onload="alert(1)') == "currentColor"


def test_text_of_data_is_escaped() -> None:
    notes = [{"text": '<img src=x onerror="a">', "x": 1, "y": 1}]
    svg = still({"data": [{"type": "scatter", "x": [1, 2], "y": [1, 2]}], "layout": {"annotations": notes, "xaxis": {"title": {"text": "<script>"}}}})
    assert "<img" not in svg and "<script>" not in svg and "&lt;script&gt;" in svg


def test_lines_break_where_a_value_is_missing() -> None:
    svg = still({"data": [{"type": "scatter", "mode": "lines", "x": [1, 2, 3, 4, 5], "y": [1, 2, None, 2, 1]}], "layout": {}})
    line = re.search(r'<path d="([^"]+)" fill="none" stroke="currentColor" stroke-width="2"', svg)[1]
    assert (line.count("M"), line.count("L")) == (2, 2)


@pytest.mark.parametrize("trace", [{"type": "pie", "values": [1]}, {"type": "scatter", "x": ["2020-01-01"], "y": [{}]}, {"type": "heatmap", "z": 3}])
def test_a_figure_of_another_kind_is_left_to_plotly(trace: dict) -> None:
    figure = {"data": [trace], "layout": {}}
    assert still(figure) == thumbnail(figure) == "" and "<noscript></noscript>" in plotly_figure(figure)


def test_a_long_map_is_drawn_coarser() -> None:
    svg = still({"data": [{"type": "heatmap", "z": np.random.default_rng(0).random((200, 300)).tolist()}], "layout": {}})
    assert 0 < svg.count("<rect") <= 24 * 24 and len(svg) < 60_000


def test_the_figure_before_the_headline_stands_for_the_page() -> None:
    figures = [{"data": {PLOTLY: {"data": [], "layout": {"height": place}}}} for place in (1, 2, 3)]
    said = {"data": {HEADLINE: {"sentence": "It is."}}}
    assert told_figure({"cells": [{"outputs": [*figures[:2], said, figures[2]]}]})["layout"]["height"] == 2
    assert told_figure({"cells": [{"outputs": figures}]})["layout"]["height"] == 1
    assert told_figure({"cells": [{"outputs": [said, figures[2]]}]})["layout"]["height"] == 3
    assert told_figure({"cells": []}) is None


def test_a_score_table_brings_its_cells_to_the_page() -> None:
    frame = pd.DataFrame({"variant": ["a", "a", "b", "b"], "seed": [0, 1, 0, 1], "metric": "accuracy", "value": [0.7, 0.8, 0.9, 0.9]})
    table = score_table(frame.assign(parameters=1000, seconds=0.5), metrics=["accuracy"])
    (bundle,) = table._repr_mimebundle_().values()
    assert bundle["columns"] == ["variant", "accuracy ↑ (n = 2)", "parameters ↓", "s/epoch ↓"]
    assert [cell["text"] for cell in bundle["rows"][0]][2:] == ["1,000", "0.5"] and bundle["rows"][0][1]["mean"] == pytest.approx(0.75)
    assert json.loads(json.dumps(bundle)) == bundle
