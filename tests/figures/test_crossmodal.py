"""Maps of attention and steps on an axis."""

import numpy as np
import pytest
import xarray as xr

from workbench.errors import DataError
from workbench.figures import attention_map, caption_of
from workbench.figures.captions import alt_of
from workbench.figures.steps import StepAxis, nice_ticks


def test_the_caption_says_where_most_weight_lies() -> None:
    weights = xr.DataArray([[0.25, 0.25, 0.25, 0.25], [0.1, 0.7, 0.1, 0.1]], dims=["text_time", "audio_time"])
    figure = attention_map(weights, query="text", key="audio", query_words=["so", "great"], key_rate=2.0)
    # By hand: .7 against 1 / 4 is 2.8 times; the second half second is .5 to 1 s.
    assert alt_of(figure).startswith("Most weight: the text token “great” looks at audio at 0.50 to 1.00 s (2.8 times what looking everywhere alike")
    assert "Attention shows where the model looked, not why" in caption_of(figure)
    assert figure.data[0].z.tolist() == [[0.25] * 4, [0.1, 0.7, 0.1, 0.1]]
    assert figure.data[0].text[1][1] == "“great” looks at 0.50 to 1.00 s"
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("looks at: audio [s]", "text (tokens)")
    assert (figure.layout.xaxis.title.font.color, figure.layout.yaxis.title.font.color) == ("#B34F00", "#0072B2")
    assert figure.layout.yaxis.ticktext == ("so", "great") and figure.layout.yaxis.autorange == "reversed"


def test_heads_stand_at_buttons_after_their_mean() -> None:
    heads = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    figure = attention_map(heads)
    assert [trace.name for trace in figure.data] == ["mean of heads", "head 1", "head 2"]
    assert [trace.visible for trace in figure.data] == [True, False, False]
    assert figure.data[0].z.tolist() == [[0.5, 0.5]]
    buttons = figure.layout.updatemenus[0].buttons
    assert [button.label for button in buttons] == ["mean", "1", "2"]
    assert buttons[2].args[0]["visible"] == [False, False, True]
    assert "Mean of 2 heads, each at its button." in caption_of(figure) and "nearly alike" in caption_of(figure)


def test_long_sequences_are_pooled_and_lose_their_buttons_when_too_large() -> None:
    weights = np.full((8, 240, 300), 1 / 300)
    weights[:, 100:102, :] = 0
    weights[:, 100:102, 30:35] = 0.2
    figure = attention_map(weights, key="vision", key_rate=30.0)
    assert figure.data[0].z.shape == (120, 120) and len(figure.data) == 1 and not figure.layout.updatemenus
    # Steps 101 and 102 are one row of two; 300 steps are 120 cells of 2 or 3, the fully covered of which have the mean .2: 60 times 1 / 300.
    assert "steps 101 to 102 looks at vision at 1." in caption_of(figure) and "(60 times" in caption_of(figure)
    assert "A cell is the mean over up to 2 by 3 steps." in caption_of(figure)


def test_a_step_without_a_key_is_a_row_of_zeros() -> None:
    assert "No step has anything to look at." in caption_of(attention_map(np.zeros((2, 3))))


def test_wrong_weights_and_words_are_errors() -> None:
    with pytest.raises(DataError, match="weights of shape"):
        attention_map(np.zeros(3))
    with pytest.raises(DataError, match="2 key words for 3 steps"):
        attention_map(np.ones((2, 3)), key_words=["a", "b"])


def test_words_are_escaped() -> None:
    figure = attention_map(np.ones((1, 1)), query_words=["<b>"], key_words=["%{z}"], title="<i>")
    assert figure.layout.yaxis.ticktext == ("&lt;b&gt;",) and figure.layout.xaxis.ticktext == ("% {z}",)
    assert "&lt;i&gt;" in figure.layout.annotations[0].text


def test_steps_say_words_seconds_or_numbers() -> None:
    assert StepAxis(3, "text", ["a", "b", "c"]).say(1) == "“b”"
    assert StepAxis(4, "text", ["a", "b", "c", "d"], most=2).say(1) == "“c” to “d” (tokens 3 to 4)"
    assert StepAxis(30, "audio", rate=20.0).say(29) == "1.45 to 1.50 s"
    assert StepAxis(30, "audio").say(29) == "step 30" and StepAxis(30, "audio", most=10).say(0) == "steps 1 to 3"
    assert [axis.title for axis in (StepAxis(1, "a", ["x"]), StepAxis(1, "a", rate=1.0), StepAxis(1, "a"))] == ["a (tokens)", "a [s]", "a (steps)"]


def test_pooling_is_the_mean_of_each_cell() -> None:
    axis = StepAxis(5, most=2)
    assert axis.edges.tolist() == [0, 2, 5]  # 2.5 is rounded to the even number
    assert axis.pooled(np.array([1.0, 3.0, 1.0, 2.0, 6.0]), 0).tolist() == [2.0, 3.0]
    assert StepAxis(3).pooled(np.array([[1.0, 2.0, 3.0]]), 1).tolist() == [[1.0, 2.0, 3.0]]


def test_ticks_stand_at_round_seconds() -> None:
    assert nice_ticks(7.0) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert nice_ticks(0.9) == [0, 0.2, 0.4, 0.6, 0.8]
    assert StepAxis(40, rate=20.0).ticks()["tickvals"][:2] == [-0.5, 9.5]  # .5 s is the edge before the eleventh step
    assert StepAxis(40, rate=20.0).ticks()["ticktext"] == ["0", "0.5", "1", "1.5", "2"]
    many = StepAxis(100, words=["w"] * 100).ticks(40)
    assert len(many["tickvals"]) == 34 and many["tickvals"][:2] == [0, 3]


def test_looking_everywhere_alike_is_a_pale_grey_and_a_sharp_look_is_black():
    flat, sharp = np.full((2, 4), 0.25), np.array([[1.0, 0, 0, 0], [0, 0.9, 0.1, 0]])
    drawn = [attention_map(values).data[0] for values in (flat, sharp)]
    # Three times an even quarter; the largest weight, and of three steps with any weight an even share is a third.
    assert [round(found.zmax, 6) for found in drawn] == [0.75, 1.0]
