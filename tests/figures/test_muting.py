"""The states of one sample on one scale, what modalities are worth, and the sample among all: data and captions, true and opposite."""

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures.captions import alt_of, caption_of
from workbench.figures.chosen import chosen_class, chosen_score
from workbench.figures.muting import listened, mute_states


def states(text=1.0, audio=-2.0, now="all 2"):
    rows = [("all 2", 1.5, ""), ("without text", text, "text"), ("without audio", audio, "audio"), ("nothing left", 0.0, "")]
    return pd.DataFrame(
        [{"state": state, "value": value, "modality": name, "is_now": state == now, "is_whole": state == "all 2"} for state, value, name in rows]
    )


def trace(figure, name):
    return next(one for one in figure.data if one.name == name)


def test_all_states_stay_and_the_one_of_now_is_filled():
    figure = mute_states(states(now="without audio"), truth=2.0)
    assert list(trace(figure, "states").x) == [1.5, 1.0, -2.0, 0.0]
    assert ["open" in symbol for symbol in trace(figure, "states").marker.symbol] == [True, True, False, True]
    assert figure.layout.yaxis.ticktext[2].startswith("<b>")
    assert list(trace(figure, "truth").x) == [2.0, 2.0]
    assert trace(figure, "truth name").text[0] == "truth +2.00"
    assert trace(figure, "numbers").text[2] == " <b>-2.00</b>"


def test_the_caption_names_the_mute_that_moves_furthest():
    assert alt_of(mute_states(states())) == "Muting audio moves the prediction furthest: by -3.50, to -2.00."
    assert alt_of(mute_states(states(text=-3.0))) == "Muting text moves the prediction furthest: by -4.50, to -3.00."
    assert alt_of(mute_states(states(text=1.5, audio=1.5))) == "Muting any one modality leaves the prediction at +1.50."
    assert alt_of(mute_states(states(), said="As it was said.")) == "As it was said."


def test_a_scale_holds_what_lies_beyond_it():
    figure = mute_states(states(audio=-7.0), ends=(-3, 3))
    assert figure.layout.xaxis.range[0] < -7
    assert mute_states(states(), truth=None).layout.xaxis.range[1] > 3
    assert "dashed: the truth" not in caption_of(mute_states(states()))


def test_many_states_are_cut_to_those_that_matter():
    rest = pd.DataFrame([{"state": f"only {i}", "value": 0.1, "modality": "", "is_now": i == 25, "is_whole": False} for i in range(26)])
    figure = mute_states(pd.concat([states(now=""), rest], ignore_index=True))
    assert len(trace(figure, "states").x) == 14
    assert "only 25" in figure.layout.yaxis.ticktext[-1]


def test_there_is_a_whole():
    with pytest.raises(DataError, match="no state with everything there"):
        mute_states(states().assign(is_whole=False))


def worth(audio=-1.4):
    rows = [
        ("Shapley value", "text", 0.3, "worth"),
        ("Shapley value", "audio", audio, "worth"),
        ("gate", "text", 0.31, "given"),
        ("gate", "audio", 0.55, "given"),
    ]
    return pd.DataFrame(rows, columns=["quantity", "modality", "value", "kind"])


def test_worth_is_signed_and_gates_are_not():
    figure = listened(worth(), note="A note.")
    assert list(trace(figure, "Shapley value").x) == [0.3, -1.4]
    assert list(trace(figure, "Shapley value numbers").text) == [" +.30", " -1.40"]
    assert list(trace(figure, "gate numbers").text) == [" .31", " .55"]
    assert figure.layout.xaxis.range[0] < 0
    assert figure.layout.xaxis2.range[0] == 0
    assert caption_of(figure) == "Shapley value: audio counts most (-1.40). Gate: audio has most (.55), text least (.31). A note."
    assert "text counts most (+.30)" in caption_of(listened(worth(audio=0.1)))


def test_equal_gates_are_equal():
    table = worth().assign(value=[0.3, -1.4, 0.5, 0.5001])
    assert "Gate: the same for all (.50)." in caption_of(listened(table))
    with pytest.raises(DataError, match="listened needs the column kind"):
        listened(table.drop(columns="kind"))


def test_the_sample_among_all_by_score():
    target, said = np.array([-2.0, 0.0, 1.0, 2.0]), np.array([-1.9, 0.5, 1.0, -1.0])
    figure = chosen_score(target, said, 1, shown=[0, 1], pinned=3)
    assert list(trace(figure, "chosen").x) == [0.0]
    assert list(trace(figure, "pinned").y) == [-1.0]
    assert list(trace(figure, "shown").customdata) == [0, 1]
    assert list(trace(figure, "others").customdata) == [2, 3]
    assert alt_of(figure) == "Sample 1 is off by +.50; 3 of 4 samples are off by as much or less."
    assert alt_of(chosen_score(target, said, 3)) == "Sample 3 is off by -3.00; 4 of 4 samples are off by as much or less."
    assert "diamond" not in caption_of(chosen_score(target, said, 3))
    with pytest.raises(DataError, match="row 9"):
        chosen_score(target, said, 9)


def test_thousands_of_dots_are_thinned_but_never_the_chosen_one():
    figure = chosen_score(np.zeros(10_001), np.zeros(10_001), 10_000)
    assert len(trace(figure, "shown").x) <= 3001
    assert 10_000 in trace(figure, "shown").customdata
    assert "of 10,001 samples are drawn" in caption_of(figure)


def test_the_sample_among_all_by_class():
    figure = chosen_class(np.array([[3, 1], [0, 2]]), (0, 1), rows=["happy", "sad"], columns=["happy", "sad"])
    assert trace(figure, "cells").z[0][0] == pytest.approx(0.75)
    assert (min(trace(figure, "chosen").x), min(trace(figure, "chosen").y)) == (0.54, -0.46)
    assert alt_of(figure) == "The chosen sample is one of 1 sample with the truth happy and the answer sad, of 6."
    assert "one of 2 samples with the truth sad and the answer sad" in alt_of(
        chosen_class(np.array([[3, 1], [0, 2]]), (1, 1), rows=["happy", "sad"], columns=["happy", "sad"])
    )
    with pytest.raises(DataError, match="counts of shape"):
        chosen_class(np.zeros((2, 3)), (0, 0), rows=["a", "b"], columns=["a", "b"])
