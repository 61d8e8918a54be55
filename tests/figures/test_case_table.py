"""Cases as a table: every text escaped, what is not known left out."""

import re
from dataclasses import replace

import pytest

from workbench.cases import Case
from workbench.errors import DataError
from workbench.figures import case_table

FULL = Case(
    "test_00007",
    "what a <b>great</b> film & story",
    "sarcastic",
    "-1.20",
    {"mmiln": "-1.00", "self_mm": "+.40"},
    ("mmiln",),
    {"text": "+1.10", "audio": "-.30"},
    {"text": "+1.40", "audio": "-.50"},
    {"audio": "stream retain, layer 2: .530 (+2.1 sd)"},
)


def cells(html: str) -> list[str]:
    return [re.sub(r"<[^>]+>", "", cell.replace("<br>", " ")) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", html)]


def test_a_row_has_sentence_truth_predictions_modalities_and_gate():
    html = case_table([FULL], "Chosen so.")._repr_html_()
    assert cells(html) == [
        "sample", "truth", "mmiln", "self_mm", "●\u00a0text alone", "■\u00a0audio alone", "gate that stands out",
        "“what a &lt;b&gt;great&lt;/b&gt; film &amp; story” sarcastic · test_00007", "-1.20", "-1.00", "+.40", "+1.10 +1.40", "-.30 -.50",
        "■ stream retain, layer 2: .530 (+2.1 sd)",
    ]  # fmt: skip
    assert html.count("<strong>") == 1 and "<strong>-1.00</strong>" in html
    assert "Chosen so." in html and "what the modality says in truth" in html and "standard deviations" in html


def test_who_speaks_for_a_modality_stands_in_the_head():
    told = replace(FULL, alone_by={"text": "readout", "audio": "<own> task"})
    html = case_table([told])._repr_html_()
    assert cells(html)[4:6] == ["●\u00a0text alone (readout)", "■\u00a0audio alone (&lt;own&gt; task)"]
    assert "own task: its own head" in html and str(case_table([told])).startswith("sample | truth | mmiln | self_mm | text alone (readout)")


def test_what_is_not_known_has_no_column():
    html = case_table([Case("a<1", "", "first", "happy", {"one": "sad", "two": "happy"}, ("two",))])._repr_html_()
    assert cells(html) == ["sample", "truth", "one", "two", "a&lt;1 first", "happy", "sad", "happy"]
    assert "Alone" not in html and "Small" not in html and "Gate" not in html


def test_rows_with_gaps_are_filled():
    bare = Case("b", "no more", "", "+1.00", {"mmiln": "+.90"}, ("mmiln",))
    found = cells(case_table([FULL, bare])._repr_html_())
    assert found[-7:] == ["“no more” b", "+1.00", "+.90", "-", "-", "-", ""]
    assert str(case_table([FULL, bare])).splitlines()[2] == "no more | +1.00 | +.90 | - | - | -"


def test_modalities_with_odd_names_are_escaped():
    odd = Case("c", "x", "", "1", {"<m>": "1"}, (), {"<a>": "<1>"}, {"<a>": "<2>"}, {"<a>": "<3>", "<other>": "<4>"})
    html = case_table([odd])._repr_html_()
    assert not re.search(r"<(m|a|other|1|2|3|4)>", html)


def test_no_sample_is_refused():
    with pytest.raises(DataError, match="case_table got no sample"):
        case_table([])
