"""One modality of one sample with attention and attribution: what is drawn, and what is said, true and opposite."""

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures.captions import alt_of, caption_of
from workbench.figures.explanation import explained

WORDS = ["oh", "great", "another", "delay"]


def words(texts=WORDS):
    rows = {"step": np.arange(len(texts), dtype=float), "place": 0, "feature": "", "value": 5.0, "word": texts}
    return pd.DataFrame({"modality": "text", "kind": "tokens", "unit": "word", **rows})


def frames(steps=10, features=("pitch", "energy"), unit="s", rate=5.0):
    step, place = np.repeat(np.arange(steps) / rate, len(features)), np.tile(np.arange(len(features)), steps)
    value = np.where(place == 0, np.linspace(-1, 1, steps).repeat(len(features)), 0.0)
    shown = {"step": step, "place": place, "feature": [features[i] for i in place], "value": value, "word": ""}
    return pd.DataFrame({"modality": "audio", "kind": "sequence", "unit": unit, **shown})


def trace(figure, name):
    return next(one for one in figure.data if one.name == name)


def test_a_bar_up_raises_and_a_bar_down_lowers():
    figure = explained(words(), attribution=np.array([0.0, 0.4, 0.1, -0.8]))
    bars = trace(figure, "attribution")
    # The axis runs downwards: a bar that goes up has a negative length.
    low, high = figure.layout.yaxis.range
    assert low > high
    assert bars.y[1] < 0 < bars.y[3]
    assert abs(bars.y[3]) == pytest.approx(2 * abs(bars.y[1]))
    assert alt_of(figure) == "Text: “great” raises most (+.400), “delay” lowers most (-.800), all of it -.30."
    turned = explained(words(), attribution=-np.array([0.0, 0.4, 0.1, -0.8]))
    assert alt_of(turned) == "Text: “delay” raises most (+.800), “great” lowers most (-.400), all of it +.30."


def test_shade_follows_attention_and_says_where_it_is_uneven():
    figure = explained(words(), attention=np.array([0.2, 3.2, 0.4, 0.2]))
    shades = [float(color.split(",")[-1].rstrip(")")) for color in trace(figure, "attention").marker.color]
    assert shades.index(max(shades)) == 1
    assert "most attention at “great” (3.2 times an even share)" in caption_of(figure)
    assert "Attention shows where the model looked, not why; compare attribution." in caption_of(figure)
    even = explained(words(), attention=np.ones(4))
    assert "nearly even attention" in caption_of(even)


def test_what_is_not_there_is_said():
    figure = explained(words(), attention="this model has none over these steps")
    assert figure.layout.annotations[0].text == "attention: this model has none over these steps; attribution: not asked yet"
    assert "not why" not in caption_of(figure)


def test_text_from_data_is_escaped():
    figure = explained(words(["<b>%{x}", "a"]), attention=np.ones(2))
    assert "<b>" not in trace(figure, "words").text[0]
    assert "%{x}" not in trace(figure, "attention").customdata[0]


def test_long_texts_are_drawn_in_lines_and_cut_in_words():
    figure = explained(words(["word"] * 200))
    assert "The first 12 of" in figure.layout.annotations[0].text
    spots = trace(figure, "words")
    assert len(set(spots.y)) == 12
    assert max(spots.x) < 62


def test_planted_words_are_marked_and_the_agreement_is_a_number():
    planted = np.array([False, True, False, False])
    figure = explained(words(), attribution=np.ones(4), planted=planted, agreement={"attribution": 0.9, "attention": np.nan})
    assert list(trace(figure, "planted").x) == [trace(figure, "words").x[1]]
    assert "Attribution points at the planted words with an AUC of .90 (.5 is chance)." in caption_of(figure)
    assert "Attention points" not in caption_of(figure)


def test_a_sequence_has_a_lane_a_feature_and_its_steps_pooled():
    attribution = np.zeros(400)
    attribution[100:110] = 0.1
    attention = np.ones(400)
    attention[300:310] = 5.0
    figure = explained(frames(), attention=attention, attribution=attribution, rate=200.0)
    assert list(figure.layout.yaxis.ticktext) == ["pitch", "energy", "attribution", "attention"]
    bars, shade = trace(figure, "attribution"), trace(figure, "attention")
    assert len(bars.x) == 120
    assert len(shade.z[0]) == 120
    # Bars add up, shades are means.
    assert bars.x[int(np.argmin(bars.y))] == pytest.approx(0.52, abs=0.03)
    assert max(shade.z[0]) == pytest.approx(5.0)
    assert "raises most" in alt_of(figure)
    assert "all of it +1.00" in alt_of(figure)
    assert "most attention at 1.50" in caption_of(figure)


def test_the_features_that_go_furthest_are_drawn():
    many = frames(features=("pitch", *(f"quiet {i}" for i in range(8))))
    figure = explained(many)
    assert "pitch" in figure.layout.yaxis.ticktext
    assert len(figure.layout.yaxis.ticktext) == 5 + 2
    assert list(trace(figure, "notes").text) == [" not asked yet", " not asked yet"]


def test_planted_stretches_have_their_length():
    planted = np.zeros(10, bool)
    planted[[2, 3, 4, 8]] = True
    figure = explained(frames(), planted=planted, rate=5.0)
    assert [value for value in trace(figure, "planted").x if value is not None] == pytest.approx([0.4, 0.7, 1.0, 1.6, 1.7, 1.8])


def test_a_vector_shows_the_numbers_that_count():
    features = {"step": 0.0, "place": np.arange(30), "feature": [str(i) for i in range(30)], "value": np.linspace(-1, 1, 30), "word": ""}
    frame = pd.DataFrame({"modality": "vitals", "kind": "vector", "unit": "feature", **features})
    attribution = np.zeros(30)
    attribution[15] = -2.0
    figure = explained(frame, attribution=attribution)
    assert alt_of(figure) == "Vitals: feature 15 lowers most (-2.000), all of it -2.00."
    assert min(trace(figure, "attribution").y) == -2.0
    assert alt_of(explained(frame)) == "Vitals: feature 0 lies 1.0 standard deviations below its training mean."


def test_an_image_has_its_pixels_and_what_they_do():
    place, step = np.repeat(np.arange(4), 4), np.tile(np.arange(4.0), 4)
    frame = pd.DataFrame(
        {"modality": "image", "kind": "image", "unit": "pixel", "step": step, "place": place, "feature": "", "value": 0.5, "word": ""}
    )
    attribution = np.zeros((4, 4))
    attribution[1, 2] = -0.3
    figure = explained(frame, attribution=attribution)
    assert trace(figure, "attribution").zmax == pytest.approx(0.3)
    assert alt_of(figure) == "Image: the pixel in row 2, column 3 moves most (-.300), all of it -.30."


def test_numbers_must_be_one_a_step():
    with pytest.raises(DataError, match="numbers of attention for 4 steps"):
        explained(words(), attention=np.ones(3))
    columns = {"step": 0.0, "place": [0, 1], "feature": ["0", "1"], "value": 1.0, "word": ""}
    frame = pd.DataFrame({"modality": "v", "kind": "vector", "unit": "feature", **columns})
    with pytest.raises(DataError, match="attributions of shape"):
        explained(frame, attribution=np.ones(1))


def test_hue_stays_the_modalitys():
    alone, beside = explained(words()), explained(words(), modalities=("text", "audio"))
    assert alone.layout.title.text == beside.layout.title.text
    assert "#0072B2" in alone.layout.title.text
