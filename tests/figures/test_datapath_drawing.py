"""The drawing of a data path: columns, heights, hues, and what the caption counts."""

from itertools import pairwise

import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures import caption_of, data_path
from workbench.figures.captions import alt_of
from workbench.figures.datapath import _apart, columns_of, laid_out, reached_by, short

NODES = pd.DataFrame(
    [
        (0, "text", "input", "text", "2 × 5 × 4", 0),
        (1, "audio", "input", "audio", "2 × 9 × 3", 0),
        (2, "vision", "input", "vision", "2 × 7 × 2", 0),
        (3, "LSTM encoder", "encoder", "text", "2 × 8", 100),
        (4, "gate", "fusion part", "", "2 × 8", 30),
        (5, "concatenate", "operation", "", "2 × 10", 0),
        (6, "prediction", "output", "", "2", 1200),
    ],
    columns=["id", "name", "kind", "modality", "shape", "parameters"],
)
PAIRS = [(0, 3), (3, 4), (1, 4), (4, 5), (2, 5), (5, 6)]
EDGES = pd.DataFrame(PAIRS, columns=["from", "to"])


def test_columns_are_the_longest_ways():
    assert columns_of(list(range(7)), PAIRS) == {0: 0, 1: 0, 2: 0, 3: 1, 4: 2, 5: 3, 6: 4}


def test_long_edges_have_passing_points_and_boxes_do_not_touch():
    place = laid_out(list(range(7)), PAIRS, dict.fromkeys(range(7), 40.0))
    assert place.routes[2, 5] == [2, (2, 5, 1), (2, 5, 2), 5]
    for column in range(5):
        inside = sorted((place.height[node], place.room(node)) for node in place.column if place.column[node] == column)
        for (above, a), (below, b) in pairwise(inside):
            assert below - above >= (a + b) / 2 + 12 - 1e-9


def test_moving_apart_moves_as_little_as_possible():
    assert _apart([0.0, 100.0], [20, 20]) == [0.0, 100.0]
    assert _apart([0.0, 0.0], [20, 20]) == [-16.0, 16.0]  # 20 pixels each and a gap of 12: 32 apart, half to each side
    assert _apart([0.0, 0.0, 500.0], [20, 20, 20]) == [-16.0, 16.0, 500.0]


def test_the_caption_tells_where_modalities_first_meet_and_counts_parameters():
    figure = data_path(NODES, EDGES, title="mine")
    assert alt_of(figure) == "mine: 3 modalities enter (text, audio, vision); text and audio first meet in “gate”."
    assert "100 parameters before modalities meet, 1,230 after." in caption_of(figure)
    assert "training only" not in caption_of(figure)
    assert "1,230 after. 1 more parameter is used in training only." in caption_of(data_path(NODES, EDGES, 1, title="mine"))
    assert "1,230 after. 2,500 more parameters are used in training only." in caption_of(data_path(NODES, EDGES, 2500, title="mine"))
    assert reached_by(NODES, PAIRS)[5] == {"text", "audio", "vision"}


def test_one_modality_never_meets_another():
    nodes = NODES[NODES["id"].isin([0, 3])]
    assert alt_of(data_path(nodes, EDGES.iloc[:1], title="alone")) == "alone: 1 modality enters (text) and never meet."


def test_boxes_say_name_shape_and_parameters_in_the_hue_of_their_modality():
    figure = data_path(NODES, EDGES, title="mine")
    words = [note.text for note in figure.layout.annotations]
    assert "<b>mine</b>" in words and "<b>● text</b><br>2×5×4" in words and "LSTM encoder<br>2×8<br>100 par." in words
    outlines = figure.layout.shapes
    assert [shape.line.color for shape in outlines[:4]] == ["#0072B2", "#D55E00", "#009E73", "#0072B2"]
    assert outlines[5].line.dash == "dot"
    lines = [trace for trace in figure.data if trace.name == "edge"]
    assert len(lines) == 6 and lines[0].line.color == "#0072B2" and lines[3].line.color == "#767676"


def test_names_from_a_model_are_escaped():
    figure = data_path(NODES.replace("gate", "<b>%{x}"), EDGES, title="<i>")
    words = " ".join(note.text for note in figure.layout.annotations)
    assert "&lt;i&gt;" in words and "&lt;b&gt;% {x}" in words


def test_numbers_in_few_letters():
    assert [short(number) for number in (0, 9999, 12345, 4_100_000, 2_000_000_000)] == ["0", "9,999", "12.3k", "4.1M", "2G"]


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(DataError, match="needs the column shape"):
        data_path(NODES.drop(columns="shape"), EDGES, title="")
    with pytest.raises(DataError, match="names the node 9"):
        data_path(NODES, pd.DataFrame({"from": [0], "to": [9]}), title="")
    with pytest.raises(DataError, match="round in a circle"):
        data_path(NODES, pd.DataFrame({"from": [0, 3], "to": [3, 0]}), title="")
