"""Claims as a picture: sides, marks, margins and captions, once where a claim holds and once where its opposite was found."""

import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures import caption_of, verdict_forest
from workbench.figures.captions import alt_of

NAN = float("nan")


def claim(item, quantity="", mean=NAN, low=NAN, high=NAN, *, side=0, margin=0.0, verdict="not testable", n=0, about=""):
    numbers = {"mean": mean, "low": low, "high": high, "side": side, "margin": margin, "verdict": verdict, "n": n}
    return {"item": item, "about": about, "quantity": quantity} | numbers


@pytest.fixture
def frame():
    """An error that fell as claimed, one that rose, a score on par, and a drawing."""
    return pd.DataFrame(
        [
            claim("Table 1", "MAE", -0.2, -0.3, -0.1, side=-1, verdict="supported", n=4, about="TFN"),
            claim("Table 1", "MAE", 0.2, 0.1, 0.3, side=-1, verdict="opposite", n=4, about="<LMF>"),
            claim("Table 2", "Acc-2", -0.01, -0.05, 0.03, side=1, margin=0.02, verdict="no difference", n=3),
            claim("Figure 1"),
        ]
    )


def test_the_claimed_side_is_right_of_the_line(frame):
    errors, scores = [trace for trace in verdict_forest(frame).data if trace.type == "scatter"]
    assert list(errors.x) == pytest.approx([0.2, -0.2]) and list(scores.x) == pytest.approx([0.01])
    assert list(errors.error_x.array) == pytest.approx([0.1, 0.1]) and list(errors.error_x.arrayminus) == pytest.approx([0.1, 0.1])
    assert list(scores.error_x.array) == pytest.approx([0.04])
    assert list(errors.marker.symbol) == ["circle", "x"] and list(scores.marker.color) == ["#FFFFFF"]


def test_every_panel_has_a_line_an_axis_and_its_claims_by_name(frame):
    figure = verdict_forest(frame)
    assert len(figure.layout.shapes) == 2 and all(shape.x0 == shape.x1 == 0 for shape in figure.layout.shapes)
    assert list(figure.layout.yaxis2.ticktext) == ["Table 1, TFN", "Table 1, &lt;LMF&gt;"] and list(figure.layout.yaxis3.ticktext) == ["Table 2"]
    titles = [figure.layout[f"xaxis{place}"].title.text for place in ("", 2, 3)]
    assert titles == ["claims", "difference of MAE, claimed side right", "difference of Acc-2, claimed side right"]
    (bars,) = [trace for trace in figure.data if trace.type == "bar"]
    assert list(bars.x) == [1, 1, 1, 1] and list(figure.layout.yaxis.ticktext)[-1] == "not testable"
    more = verdict_forest(pd.concat([frame, frame.assign(item="Table 3")]))
    assert more.layout.height > figure.layout.height


def test_the_caption_counts_and_says_how_to_read(frame):
    figure = verdict_forest(frame)
    assert alt_of(figure) == "Of 4 claims 3 tested: 1 supported, 1 opposite found, 1 no difference found."
    caption = caption_of(figure)
    assert "over 3 to 4 seeds" in caption and "the line stands 0.02 to the worse side of no difference" in caption
    one = caption_of(verdict_forest(frame.iloc[:1]))
    assert one.startswith("Of 1 claim 1 tested: 1 supported, 0 opposite found") and "over 4 seeds" in one and "on par" not in one


def test_nothing_tested_is_still_a_picture_and_what_was_counted_has_no_seeds(frame):
    figure = verdict_forest(frame.iloc[[3]])
    assert caption_of(figure) == "None of 1 claim could be tested."
    assert [trace.type for trace in figure.data] == ["bar"]
    counted = pd.DataFrame([claim("Table 2", "share", -0.4, -0.4, -0.4, side=-1, verdict="supported", n=1)])
    assert "no seeds (counted)" in caption_of(verdict_forest(counted))


def test_what_it_cannot_draw_is_an_error(frame):
    with pytest.raises(DataError, match="does not know the verdict true"):
        verdict_forest(frame.assign(verdict="true"))
    with pytest.raises(DataError, match="needs the column side"):
        verdict_forest(frame.drop(columns="side"))
    with pytest.raises(DataError, match="verdict_forest got a table without"):
        verdict_forest(frame.iloc[:0])
