"""Errors of made labels: what is drawn, and whether they are nearer than the label they were made from."""

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures import caption_of, label_errors
from workbench.figures.captions import alt_of

MADE, WHOLE, LINE = "made label", "label of the whole", "line in the label of the whole"


def table(made, *, whole=1.0, line=0.6, variant="mmiln", modality="audio") -> pd.DataFrame:
    """`made[seed][epoch]`; the other labels stay as they are."""
    rows = []
    for seed, row in enumerate(made):
        for epoch, value in enumerate(row, start=1):
            said = {MADE: value, WHOLE: whole, LINE: line}
            rows += [(variant, seed, epoch, modality, label, number) for label, number in said.items()]
    return pd.DataFrame(rows, columns=["variant", "seed", "epoch", "modality", "label", "value"])


def test_a_solid_a_dashed_and_a_dotted_line_in_the_modalitys_hue():
    figure = label_errors(table([[1.0, 0.8], [1.0, 0.6]]))
    found = {trace.name: trace for trace in figure.data}
    assert list(found["audio, made label"].y) == pytest.approx([1.0, 0.7]) and found["audio, made label"].line.dash == "solid"
    assert found[f"audio, {WHOLE}"].line.dash == "dash" and found[f"audio, {LINE}"].line.dash == "dot"
    assert {trace.line.color for name, trace in found.items() if "range" not in name} == {"#D55E00"}
    assert list(found["audio, range"].y) == [1.0, 0.8, 0.6, 1.0]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([[1.0, 0.8], [1.0, 0.81]], "error .805 in the last epoch, label of the whole 1.000: -.195 (95 % -.259 to -.131, n = 2, p = .02), nearer"),
        ([[1.0, 1.2], [1.0, 1.21]], ", further from the truth."),
        ([[1.0, 0.5], [1.0, 1.4]], "label of the whole 1.000: no difference found: -.050"),
        ([[1.0, 0.8]], "error .800 in the last epoch, label of the whole 1.000: -.200 (one seed: no interval)."),
    ],
)
def test_the_last_epoch_is_held_against_the_label_of_the_whole(made, said):
    assert said in alt_of(label_errors(table(made)))


def test_nearer_is_said_where_it_holds_for_all_pairs():
    """p = .036 alone: enough for one pair, too much for the first of two (.025)."""
    near = [[1.0, value] for value in (0.9, 0.91, 0.89, 0.75)]
    assert alt_of(label_errors(table(near))).endswith("nearer to the truth.")
    said = caption_of(label_errors(pd.concat([table(near), table(near, variant="self_mm")])))
    assert ", nearer to" not in said and "they hold for all 2 at once (Holm, 5 %)" in said


def test_a_panel_a_method_and_a_sentence_a_modality():
    frame = pd.concat([table([[1.0, 0.9]]), table([[1.0, 1.1]], variant="self_mm", modality="<text>")])
    figure = label_errors(frame)
    assert [note.text for note in figure.layout.annotations if "<b>" in note.text] == ["<b>mmiln</b>", "<b>self_mm</b>"]
    assert caption_of(figure).count("in the last epoch") == 2
    assert not any("<text>" in str(trace.name) for trace in figure.data)


def test_labels_without_their_origin_are_drawn_and_not_compared():
    frame = table([[1.0, 0.9]])
    assert "nothing to compare the labels with" in alt_of(label_errors(frame[frame["label"] == MADE]))


def test_a_table_that_is_none_is_refused():
    with pytest.raises(DataError, match="label_errors needs the column label"):
        label_errors(table([[1.0]]).drop(columns="label"))
    with pytest.raises(DataError, match="without a single value"):
        label_errors(table([[np.nan]], whole=np.nan, line=np.nan))
