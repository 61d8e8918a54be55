"""One sample: a panel a modality, drawn as what it is."""

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures import caption_of, one_sample
from workbench.figures.captions import alt_of

COLUMNS = ["modality", "kind", "unit", "step", "place", "feature", "value", "word"]


def words(*said: str) -> list[tuple]:
    return [("text", "tokens", "word", float(i), 0, "", 2.0, word) for i, word in enumerate(said)]


def sequence(name: str = "audio", *, names: tuple[str, ...] = ("pitch", "energy"), unit: str = "s") -> list[tuple]:
    return [(name, "sequence", unit, t / 2, i, feature, t - 1.0 * i, "") for t in range(3) for i, feature in enumerate(names)]


def image() -> list[tuple]:
    return [("image", "image", "pixel", float(x), y, "", x * y / 2, "") for y in range(3) for x in range(2)]


def vector(places: tuple[int, ...] = (0, 1, 2)) -> list[tuple]:
    return [("pose", "vector", "feature", 0.0, i, str(i), [0.5, -4.0, 1.0][n], "") for n, i in enumerate(places)]


def drawn(*rows: list[tuple], title: str = ""):
    return one_sample(pd.DataFrame([row for part in rows for row in part], columns=COLUMNS), title=title)


def test_all_kinds_in_one_figure() -> None:
    figure = drawn(words("good", "film"), sequence(), image(), vector(), title="train 0 (a), label 1")
    assert [type(trace).__name__ for trace in figure.data] == ["Scatter", "Heatmap", "Heatmap", "Bar"]
    titles = [note.text for note in figure.layout.annotations]
    assert titles == ["<b>● text</b>, words", "<b>■ audio</b>, over time", "<b>▲ image</b>, pixels", "<b>◆ pose</b>, one vector"]
    assert figure.layout.xaxis2.title.text == "time [s]" and figure.layout.yaxis3.title.text == "row [pixel]"
    assert figure.layout.yaxis4.title.text == "from the mean [sd]" and figure.layout.xaxis4.title.text == "feature"
    caption = caption_of(figure)
    assert alt_of(figure) == "Train 0 (a), label 1."
    assert "Text: 2 words." in caption and "Image: 3 x 2 pixels are drawn." in caption
    assert "Audio: pitch lies 2.0 standard deviations above its training mean at 1.0 s." in caption
    assert "Pose: feature 1 lies 4.0 standard deviations below its training mean." in caption
    assert "Maps: dark is above" in caption and "Image: dark is a high value." in caption


def test_a_map_has_its_features_in_order_and_its_values() -> None:
    figure = drawn(sequence())
    heat = figure.data[0]
    assert list(heat.y) == ["pitch", "energy"] and list(heat.x) == [0, 0.5, 1]
    np.testing.assert_array_equal(heat.z, [[0, 1, 2], [-1, 0, 1]])
    assert caption_of(figure).startswith("Audio: ")


def test_names_that_stand_twice_stay_apart() -> None:
    assert list(drawn(sequence(names=("f", "f"))).data[0].y) == ["f (0)", "f (1)"]


def test_one_feature_is_a_line_and_steps_without_a_rate_are_steps() -> None:
    figure = drawn(sequence(names=("pitch",), unit="step"))
    assert (figure.data[0].mode, list(figure.data[0].y)) == ("lines", [0, 1, 2])
    assert figure.layout.xaxis.title.text == "step" and figure.layout.yaxis.title.text == "pitch [sd]"
    assert "at step 1" in caption_of(figure)


def test_unnamed_features_have_an_axis_title() -> None:
    assert drawn(sequence(names=("0", "1"))).layout.yaxis.title.text == "feature"


def test_a_long_text_is_cut_and_says_so() -> None:
    figure = drawn(words(*["word"] * 400, "<unknown>"))
    assert len(figure.data[0].text) == 8 and figure.data[0].text[-1] == "... and 401 words in all"
    assert "Text: 401 words, 1 of them not in train." in caption_of(figure)


def test_words_from_data_are_escaped() -> None:
    assert drawn(words("<b>bold", "%{x}")).data[0].text[0] == "&lt;b&gt;bold % {x}"


def test_some_numbers_of_a_long_vector() -> None:
    figure = drawn(vector((3, 70, 90)))
    assert list(figure.data[0].x) == [0, 1, 2] and list(figure.data[0].customdata) == ["3", "70", "90"]
    assert figure.layout.xaxis.title.text == "the 3 features furthest from the mean"


def test_a_table_without_its_columns_is_an_error() -> None:
    with pytest.raises(DataError, match="one_sample needs the column kind"):
        one_sample(pd.DataFrame({"modality": ["a"]}))
