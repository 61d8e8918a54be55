"""A cell's outputs on a page: escaped, offline, with captions; and an error in plain words."""

import json
import re

import pandas as pd
import pytest

from workbench.errors import ConfigError
from workbench.report import headline
from workbench.report.headline import HEADLINE, as_cells, as_html
from workbench.report.outputs import PLOTLY, WIDGET, plain, themed_svg, tidy
from workbench.report.page import contents_of, say_error, title_of


def shown(data: dict, metadata: dict | None = None) -> str:
    """The HTML of one output."""
    (output,), _ = tidy([{"output_type": "display_data", "data": data, "metadata": metadata or {}}])
    return output["data"].get("text/html") or output["data"]["text/markdown"]


def stream(name: str, text: str) -> dict:
    """A piece of printed text."""
    return {"output_type": "stream", "name": name, "text": text}


FIGURE = {
    "data": [{"y": [1, 2], "name": "</script><script>alert(1)</script>"}],
    "layout": {"height": 300, "meta": {"caption": 'A < "B", 95 %.', "alt": "A < B."}},
}


def test_a_plotly_figure_is_data_with_caption_and_alternative_text() -> None:
    html = shown({PLOTLY: FIGURE, "text/html": "<script>4.8 MB</script>", "text/plain": "Figure"})
    data = re.search(r'<script type="application/json">(.*?)</script>', html)[1]
    assert json.loads(data)["data"] == FIGURE["data"]
    assert "alert(1)</script>" not in html
    assert "<figcaption>A &lt; &quot;B&quot;, 95\u00a0%.</figcaption>" in html
    assert 'role="img" aria-label="A &lt; B."' in html
    assert "height:300px" in html and "4.8 MB" not in html


def test_figures_are_counted_and_captions_are_not_said_twice() -> None:
    caption = {"output_type": "display_data", "data": {"text/markdown": "*A*"}, "metadata": {"workbench": {"is_caption": True}}}
    outputs, figures = tidy([{"output_type": "display_data", "data": {PLOTLY: FIGURE}, "metadata": {}}, caption])
    assert (len(outputs), figures) == (1, 1)


def test_an_svg_follows_the_theme() -> None:
    svg = themed_svg('<?xml version="1.0"?><svg><path style="fill: #ffffff; stroke: #1a1a1a"/></svg>')
    assert svg == '<svg><path style="fill: var(--paper); stroke: var(--ink)"/></svg>'
    html = shown({"image/svg+xml": "<svg></svg>"}, {"workbench": {"alt": "a & b", "caption": "C."}})
    assert 'aria-label="a &amp; b"' in html and "<figcaption>C.</figcaption>" in html


def test_a_picture_has_an_alternative_text() -> None:
    assert 'alt="x"' in shown({"image/png": "aGk="}, {"workbench": {"alt": "x"}})
    assert "data:image/png;base64,aGk=" in shown({"image/png": "aGk=\n"})


def test_text_is_escaped_and_colour_codes_go() -> None:
    assert shown({"text/plain": "\x1b[31m<b>\x1b[0m"}) == "<pre>&lt;b&gt;</pre>"
    assert plain("a\r\x1b[1mb\r\nc\n\n") == "b\nc"


def test_printed_text_is_merged_and_the_log_is_folded_below() -> None:
    outputs, _ = tidy([stream("stdout", "a"), stream("stderr", "1%\r2%"), stream("stdout", "b"), stream("stderr", "\r3%")])
    assert [output["data"]["text/html"] for output in outputs] == [
        "<pre>ab</pre>",
        '<details class="log"><summary>log</summary><pre>3%</pre></details>',
    ]
    assert tidy([stream("stderr", "\r  \n")]) == ([], 0)


def test_a_widget_says_where_it_lives_and_markdown_stays() -> None:
    assert "make lab" in shown({WIDGET: {}, "text/plain": "Slider()"})
    assert shown({"text/markdown": "**a**"}) == "**a**"
    assert shown({"text/html": ["<p>", "a</p>"]}) == '<div class="output"><p>a</p></div>'


def test_a_headline_is_drawn_with_its_table() -> None:
    table = as_cells(pd.DataFrame({"a": ["<x>"], "b": [2]}))
    html = shown({HEADLINE: {"sentence": "A < B.", "table": table}})
    assert '<p class="headline">A &lt; B.</p>' in html and "&lt;x&gt;" in html and "<x>" not in html


def test_headline_displays_data_and_a_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: found.append(bundle))
    headline(" It holds. ", pd.DataFrame({"n": [1]}, index=pd.Index(["m"], name="variant")))
    assert found[0]["text/plain"] == "It holds."
    assert found[0][HEADLINE] == {"sentence": "It holds.", "table": {"columns": ["variant", "n"], "rows": [[{"text": "m"}, {"text": "1"}]]}}
    assert as_html({"sentence": "<a>", "table": None}) == "<p><strong>&lt;a&gt;</strong></p>"


@pytest.mark.parametrize("sentence", ["", "  ", None])
def test_a_headline_needs_a_sentence(sentence: object) -> None:
    with pytest.raises(ConfigError, match="a headline without a sentence"):
        headline(sentence)


def test_an_error_of_the_house_keeps_its_parts() -> None:
    value = "audio has 72 columns\n  in        train.npz, row 0\n  expected  (n, 73)\n  do        workbench data check x"
    error = say_error({"ename": "DataError", "evalue": value, "traceback": ["\x1b[31mTrace\x1b[0m"]}, 7)
    assert error["what"] == "audio has 72 columns"
    assert error["parts"] == {"where": "train.npz, row 0", "expected": "(n, 73)", "do": "workbench data check x"}
    assert (error["cell"], error["traceback"]) == (7, "Trace")


def test_another_error_is_named() -> None:
    error = say_error({"ename": "FileNotFoundError", "evalue": "no file\nin the", "traceback": []}, 2)
    assert (error["what"], error["parts"]) == ("FileNotFoundError: no file", {})


def test_titles_and_contents() -> None:
    cells = [{"cell_type": "code", "source": "# no"}, {"cell_type": "markdown", "source": ["text\n", "# The **puzzle** of `x`"]}]
    assert title_of({"cells": cells}, "name") == "The puzzle of x"
    assert title_of({"cells": []}, "name") == "name"
    body = '<h1 id="a">A</h1><h2 id="b&amp;c">B <em>&amp;</em> C</h2><h3 id="d">D</h3>'
    assert contents_of(body) == [{"level": 2, "id": "b&c", "text": "B & C"}, {"level": 3, "id": "d", "text": "D"}]
