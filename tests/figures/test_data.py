"""What is in a data set: bars, marks and captions, not pixels."""

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures import caption_of, fact_table, label_histogram, lengths_histogram, modality_alone


def labels(kind: str, **shares: list[float]) -> pd.DataFrame:
    """A table of labels of 100 samples a split; numbers from -1 in intervals of 1."""
    rows = [
        {"split": split, "label": f"label {i}", "value": round(100 * share), "share": share, "kind": kind, "low": i - 1.0, "high": float(i)}
        for split, found in shares.items()
        for i, share in enumerate(found)
    ]
    return pd.DataFrame(rows)


def test_numbers_stand_over_their_intervals() -> None:
    figure = label_histogram(labels("regression", train=[0.25, 0.75], test=[0.5, 0.5]))
    first = figure.data[0]
    assert (list(first.x), list(first.y), list(first.width)) == ([-0.5, 0.5], [25, 75], [1, 1])
    assert [note.text for note in figure.layout.annotations] == ["<b>train</b>", "<b>test</b>"]
    assert figure.layout.xaxis.title.text == "label" and figure.layout.yaxis.title.text == "share of the split [%]"
    caption = caption_of(figure)
    assert caption.startswith("Most labels of train lie in label 1 (75% of the samples), fewest in label 0 (25%).")
    assert "Samples: train 100, test 100." in caption


def test_classes_lie_so_that_their_names_can_be_read() -> None:
    figure = label_histogram(labels("multiclass", train=[0.99, 0.01]))
    assert figure.data[0].orientation == "h" and list(figure.data[0].y) == ["label 0", "label 1"]
    assert figure.layout.xaxis.range[1] >= 99
    assert (
        "The most frequent class of train is label 0 (99%), the rarest label 1 (1.0%). Below 2%: 1 class; a score there says little."
        in caption_of(figure)
    )


def test_of_very_many_labels_the_most_frequent_are_drawn() -> None:
    figure = label_histogram(labels("multilabel", train=[i / 100 for i in range(40)]))
    assert len(figure.data[0].y) == 30 and figure.data[0].y[0] == "label 39"
    assert "10 further label names are not drawn." in caption_of(figure) and "Samples:" not in caption_of(figure)


def test_lengths_have_bars_of_one_width_and_a_median() -> None:
    frame = pd.DataFrame({"modality": "audio", "unit": "steps", "value": [1, 2, 2, 100, 3]})
    figure = lengths_histogram(frame, modalities=["text", "audio"])
    bars, median = figure.data
    assert len(set(np.diff(bars.x))) == 1 and sum(bars.y) == 5
    assert bars.customdata[0] == "1 to 4" and bars.y[0] == 4
    assert set(median.x) == {2}
    assert bars.marker.color == "#D55E00"
    assert figure.layout.xaxis.title.text == "steps a sample"
    assert caption_of(figure).startswith("audio: 1 to 100 steps, half of the samples have at most 2, the longest 50 times that.")


def test_equal_lengths_are_said() -> None:
    frame = pd.DataFrame({"modality": "text", "unit": "words", "value": [4, 4]})
    assert caption_of(lengths_histogram(frame)).startswith("text: 4 words in every sample.")


def alone(**values: tuple[float, float]) -> pd.DataFrame:
    """Accuracy and error by modality, the same on both splits."""
    rows = [(name.replace("_", " "), split, value, error, 0.6) for name, (value, error) in values.items() for split in ("valid", "test")]
    return pd.DataFrame(rows, columns=["modality", "split", "value", "error", "chance"])


def named(figure, name: str):
    """The traces of that name."""
    return [found for found in figure.data if found.name == name]


def test_each_modality_has_its_interval_and_chance_is_drawn() -> None:
    figure = modality_alone(alone(text=(0.75, 0.02), vision=(0.55, 0.03), all_together=(0.77, 0.02)))
    text = named(figure, "text")
    assert len(text) == 2 and text[0].y[0] == 0.75 and text[0].error_y.array[0] == pytest.approx(1.96 * 0.02)
    assert text[0].marker.color == "#0072B2" and named(figure, "all together")[0].marker.color == "#1A1A1A"
    assert list(named(figure, "chance")[0].y) == [0.6, 0.6] and named(figure, "chance")[0].line.dash == "dot"
    caption = caption_of(figure)
    assert caption.startswith("Text alone is best on test: .750 ± .039 (95 %), above chance (.600).")
    assert "Not told apart from chance: vision." in caption
    assert "All together: .770 ± .039, within the errors of text alone." in caption
    assert figure.layout.yaxis.title.text == "accuracy"


def test_one_modality_at_chance_and_one_below() -> None:
    assert "not told apart from chance (.600)" in caption_of(modality_alone(alone(text=(0.61, 0.02))))
    assert "below chance (.600)" in caption_of(modality_alone(alone(text=(0.3, 0.02))))
    better = caption_of(modality_alone(alone(text=(0.7, 0.01), all_together=(0.9, 0.01))))
    assert "All together: .900 ± .020, apart from text alone." in better
    assert caption_of(modality_alone(alone(all_together=(0.9, 0.01)))).startswith("all together: .900 on test.")


def test_a_modality_that_one_split_does_not_have() -> None:
    frame = alone(text=(0.7, 0.01), audio=(0.6, 0.01))
    frame = frame[~((frame["modality"] == "audio") & (frame["split"] == "valid"))]
    assert len(named(modality_alone(frame), "audio")) == 1


@pytest.mark.parametrize("draw", [label_histogram, lengths_histogram, modality_alone])
def test_a_table_without_its_columns_is_an_error(draw) -> None:
    with pytest.raises(DataError, match="needs the column"):
        draw(pd.DataFrame({"value": [1.0]}))


def test_a_table_of_facts_is_escaped_and_wraps() -> None:
    table = fact_table([["a <b>", 3], ["short"]], "what", "here")
    html = table._repr_html_()
    assert "a &lt;b&gt;" in html and "<b>" not in html and html.count("<td") == 2 and "white-space:normal" in html
    assert repr(table).splitlines() == ["what  here", "a <b>  3", "short  "]
