"""Gradients, weights and attention: what is drawn, what it is called, and whether the caption is true of it."""

import itertools

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures import alpha_distribution, alpha_over_epochs, caption_of, gradient_magnitude, weight_bars
from workbench.figures.canvas import spread


def made(values: dict[str, dict[str, list[float]]], *, epochs: int = 3) -> pd.DataFrame:
    """A table from {variant: {modality: a value per seed}}, constant over epochs."""
    rows = [
        (variant, seed, epoch, modality, value)
        for variant, modalities in values.items()
        for modality, seeds in modalities.items()
        for seed, value in enumerate(seeds)
        for epoch in range(1, epochs + 1)
    ]
    return pd.DataFrame(rows, columns=["variant", "seed", "epoch", "modality", "value"])


def trace(figure, name: str, number: int = 0):
    """The drawn trace of that name."""
    return [found for found in figure.data if found.name == name][number]


def notes(figure) -> list[str]:
    """All words written into the picture."""
    return [note.text for note in figure.layout.annotations]


def test_gradients_draw_median_and_range() -> None:
    figure = gradient_magnitude(made({"lf_dnn": {"text": [1.0, 2.0, 9.0], "audio": [0.1, 0.2, 0.9]}}))
    assert list(trace(figure, "text").y) == [2.0, 2.0, 2.0]
    assert list(trace(figure, "text").x) == [1, 2, 3]
    assert list(trace(figure, "text, range").y) == [9.0] * 3 + [1.0] * 3
    assert trace(figure, "text").line.color == "#0072B2"
    assert trace(figure, "audio").marker.symbol == "square"


def test_gradients_name_axes_panels_and_line_ends() -> None:
    figure = gradient_magnitude(made({"lf_dnn": {"text": [1.0], "audio": [0.1]}, "lf_dnn + b_fusion": {"text": [1.0], "audio": [1.0]}}))
    assert figure.layout.yaxis.title.text == "gradient magnitude (log scale)"
    assert figure.layout.xaxis.title.text == figure.layout.xaxis2.title.text == "epoch"
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range
    assert figure.layout.yaxis.type == figure.layout.yaxis2.type == "log"
    assert notes(figure).count("● text") == notes(figure).count("■ audio") == 2
    assert {"<b>lf_dnn</b>", "<b>lf_dnn + b_fusion</b>"} <= set(notes(figure))
    assert figure.layout.showlegend is None and figure.layout.template.layout.showlegend is False


def test_gradients_say_the_ratio_they_show() -> None:
    # By hand: ratios 4, 8, 16; their logarithms base 2 are 2, 3, 4: mean 3, so 8 times; half-width t(2) * 1 / sqrt 3 = 4.303 * .5774 = 2.484.
    figure = gradient_magnitude(made({"a": {"text": [4.0, 8.0, 16.0], "audio": [1.0, 1.0, 1.0]}}))
    assert caption_of(figure).startswith("Text's gradient magnitude is 8.0 times audio's (95 % 1.4 to 45, n = 3).")
    assert figure.layout.meta["alt"] == "Text's gradient magnitude is 8.0 times audio's (95 % 1.4 to 45, n = 3)."
    assert "Lines: median of 3 seeds, band: range." in caption_of(figure)


def test_gradients_without_a_difference_say_so() -> None:
    caption = caption_of(gradient_magnitude(made({"a": {"text": [1.0, 2.0, 1.1], "audio": [2.0, 1.0, 1.0]}})))
    assert caption.startswith("No difference found between text's and audio's gradient magnitude")


def test_gradients_of_one_seed_claim_no_interval_and_draw_no_band() -> None:
    figure = gradient_magnitude(made({"a": {"text": [6.0], "audio": [1.0]}}))
    assert "6.0 times audio's (one seed: no interval)" in caption_of(figure)
    assert "Lines: one seed." in caption_of(figure)
    assert [found.name for found in figure.data] == ["text", "audio"]


def test_update_norms_are_the_same_picture() -> None:
    figure = gradient_magnitude(made({"a": {"text": [2.0], "audio": [1.0]}}), quantity="update norm", log=False)
    assert figure.layout.yaxis.title.text == "update norm"
    assert figure.layout.yaxis.type == "linear"
    assert "update norm is 2.0 times" in caption_of(figure)


def test_gradients_of_one_modality_have_nothing_to_compare() -> None:
    assert "nothing to compare" in caption_of(gradient_magnitude(made({"a": {"text": [2.0]}})))


def test_zeros_are_counted_on_a_log_axis() -> None:
    frame = made({"a": {"text": [2.0], "audio": [1.0]}})
    frame.loc[0, "value"] = 0.0
    assert caption_of(gradient_magnitude(frame)).endswith("1 value not above zero cannot be drawn on the log scale.")


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="gradient_magnitude needs the column modality"):
        gradient_magnitude(made({"a": {"text": [1.0]}}).drop(columns="modality"))


def test_an_empty_table_is_an_error() -> None:
    with pytest.raises(DataError, match="without a single value"):
        gradient_magnitude(made({"a": {"text": [float("nan")]}}))


def test_names_from_data_are_escaped() -> None:
    figure = gradient_magnitude(made({"<b>x</b>": {"<i>text": [1.0], "%{y}": [2.0]}}))
    assert "<b>&lt;b&gt;x&lt;/b&gt;</b>" in notes(figure)
    assert "&lt;i&gt;text" in figure.data[0].hovertemplate
    assert "%{y} " not in figure.data[1].hovertemplate.split(",")[0]


def weights(last: dict[str, list[float]]) -> pd.DataFrame:
    """Weights that start at 1 in epoch 1 and end at the given values in epoch 2."""
    start = made({"exact": {name: [1.0] * len(seeds) for name, seeds in last.items()}}, epochs=1)
    return pd.concat([start, made({"exact": last}, epochs=1).assign(epoch=2)])


def test_weight_bars_are_shares_and_keep_the_raw_weight() -> None:
    figure = weight_bars(weights({"text": [0.5], "audio": [1.5]}))
    assert list(trace(figure, "text").y) == [50.0, 25.0]
    assert list(trace(figure, "audio").y) == [50.0, 75.0]
    assert list(trace(figure, "audio").customdata) == [1.0, 1.5]
    assert figure.layout.barmode == "stack"
    assert figure.layout.yaxis.title.text == "share of the weights (%)"
    assert trace(figure, "audio").marker.pattern.shape == "/"


def test_weight_bars_say_what_moved() -> None:
    # Shares of text: 50 to 25, 20 and 30; the change is -25 on average, of audio +25; the first of equals is named.
    caption = caption_of(weight_bars(weights({"text": [0.5, 0.4, 0.6], "audio": [1.5, 1.6, 1.4]})))
    assert caption.startswith("Text's share falls from 50 % to 25 % between epochs 1 and 2 (-25.0 points, 95 % -37.4 to -12.6, n = 3).")


def test_weight_bars_without_a_change_say_so() -> None:
    assert caption_of(weight_bars(weights({"text": [0.5, 1.5, 1.1], "audio": [1.5, 0.5, 0.9]}))).startswith("No change found")


def test_weight_bars_of_one_seed_and_of_one_epoch() -> None:
    assert "(-25.0 points, one seed: no interval)" in caption_of(weight_bars(weights({"text": [0.5], "audio": [1.5]})))
    assert "no change to tell" in caption_of(weight_bars(made({"a": {"text": [1.0], "audio": [1.0]}}, epochs=1)))


def test_runs_that_end_at_different_epochs_are_compared_at_their_own_ends() -> None:
    frame = weights({"text": [0.5, 0.4, 0.6], "audio": [1.5, 1.6, 1.4]})
    frame.loc[(frame["seed"] == 2) & (frame["epoch"] == 2), "epoch"] = 9
    caption = caption_of(weight_bars(frame))
    assert caption.startswith("Text's share falls from 50 % to 25 % between epoch 1 and each run's last (-25.0 points, 95 % -37.4 to -12.6, n = 3).")
    assert caption.endswith("Runs end between epochs 2 and 9: later epochs show fewer seeds.")
    assert "in each run's last epoch" in caption_of(alpha_over_epochs(frame.assign(value=frame["value"] / 2)))


def test_a_weight_below_zero_counts_by_its_size() -> None:
    figure = weight_bars(weights({"text": [-1.0], "audio": [3.0]}))
    assert list(trace(figure, "text").y) == [50.0, 25.0]


def test_alpha_over_epochs_compares_in_the_last_epoch() -> None:
    figure = alpha_over_epochs(made({"a": {"text": [0.8, 0.81, 0.79], "audio": [0.3, 0.29, 0.31]}}))
    assert figure.layout.yaxis.range[0] == 0
    assert caption_of(figure).startswith("Text's alpha (.800) is .500 above audio's (.300)")
    assert "in epoch 3" in caption_of(figure)


def test_alpha_over_epochs_without_a_difference() -> None:
    assert "no difference found" in caption_of(alpha_over_epochs(made({"a": {"text": [0.8, 0.2], "audio": [0.3, 0.6]}})))
    assert "nothing to compare" in caption_of(alpha_over_epochs(made({"a": {"text": [0.8, 0.2]}})))


def samples(values: dict[str, list[float]], labels: list[str] | None = None) -> pd.DataFrame:
    """Attention weights per sample."""
    rows = [{"sample": i, "modality": name, "value": value} for name, found in values.items() for i, value in enumerate(found)]
    return pd.DataFrame(rows).assign(**({"class": [labels[row["sample"]] for row in rows]} if labels else {}))


def test_alpha_distribution_has_a_violin_per_modality() -> None:
    figure = alpha_distribution(samples({"text": [0.9, 0.8, 0.85], "audio": [0.1, 0.2, 0.15]}))
    assert [list(found.y) for found in figure.data] == [[0.9, 0.8, 0.85], [0.1, 0.2, 0.15]]
    assert {found.type for found in figure.data} == {"violin"}
    assert caption_of(figure).startswith("Text's mean alpha (.850) is .700 above audio's (.150)")
    assert caption_of(figure).endswith("3 samples.")


def test_alpha_distribution_has_a_panel_per_class() -> None:
    figure = alpha_distribution(samples({"text": [0.9, 0.8], "audio": [0.1, 0.2]}, ["negative", "positive"]))
    assert {"<b>negative</b>", "<b>positive</b>"} <= set(notes(figure))
    assert [list(found.y) for found in figure.data] == [[0.9], [0.1], [0.8], [0.2]]


def test_alpha_of_one_sample_or_modality_claims_nothing() -> None:
    assert "one sample: no interval" in caption_of(alpha_distribution(samples({"text": [0.9], "audio": [0.1]})))
    assert "nothing to compare" in caption_of(alpha_distribution(samples({"text": [0.9, 0.8]})))


def test_labels_at_line_ends_never_touch() -> None:
    placed = spread([100.0, 101.0, 102.0, 300.0], 19)
    assert all(after - before >= 18.9 for before, after in itertools.pairwise(placed))
    assert np.mean(placed[:3]) == pytest.approx(101)
    assert placed[3] == 300
