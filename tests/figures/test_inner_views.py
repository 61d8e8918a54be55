"""Gates, matrices, spaces, terms of the loss, made labels, and the function that picks among them."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from workbench.errors import ConfigError, DataError
from workbench.figures import (
    adjacency,
    auxiliary_losses,
    caption_of,
    draw_view,
    factors,
    gates_over_time,
    pseudo_labels,
    spaces,
    weights_by_modality,
)
from workbench.figures.captions import alt_of
from workbench.figures.vectors import cosines, projected

NAMES = ["text", "audio"]


def labelled(values, *dims, **coords) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, float), dims=dims, coords=coords)


def trace(figure, name: str):
    return next(found for found in figure.data if found.name == name)


def test_a_gate_of_modalities_has_a_line_each_in_its_hue() -> None:
    values = labelled([[0.2, 0.9], [0.4, 0.1]], "text_time", "modality", modality=NAMES)
    figure = gates_over_time(values, modality="text", words=["so", "great"], title="gate: step gate", quantity="step gate")
    # Means .3 and .5: audio's is larger, most at the first word.
    assert alt_of(figure) == "Step gate: audio's is largest on average (.500), text's smallest (.300); most at “so” (.90)."
    assert list(trace(figure, "audio").y) == [0.9, 0.1] and trace(figure, "audio").line.color == "#D55E00"
    assert figure.layout.xaxis.ticktext == ("so", "great")
    assert {"● text", "■ audio"} <= {note.text for note in figure.layout.annotations}


def test_units_without_names_are_a_median_in_its_quartiles() -> None:
    figure = gates_over_time(labelled([[0, 1, 2, 3, 4], [0, 0, 0, 0, 0]], "audio_time", "feature"), modality="audio", rate=10.0)
    assert list(trace(figure, "median").y) == [2, 0]
    assert list(trace(figure, "half of units").y) == [3, 0, 0, 1]  # upper quartiles there, lower ones back
    assert alt_of(figure) == "Gate: largest at 0.00 to 0.10 s (2.00), smallest at 0.10 to 0.20 s (.00)."


def test_a_gate_that_does_not_move_says_so() -> None:
    assert alt_of(gates_over_time(labelled([0.5, 0.5001], "text_time"), quantity="alpha")) == "Alpha: the same at all steps to two digits (.50)."


def test_a_third_axis_gives_panels_and_many_rows_a_map() -> None:
    values = labelled(np.ones((3, 2, 2)), "text_time", "moment", "modality", moment=["previous", "current"], modality=NAMES)
    assert {"<b>attention: previous</b>", "<b>attention: current</b>"} <= {
        note.text for note in gates_over_time(values, title="attention").layout.annotations
    }
    rows = labelled(np.arange(30).reshape(3, 10), "text_time", "edge", edge=[f"e{i}" for i in range(10)])
    figure = gates_over_time(rows, quantity="efficacy")
    assert figure.data[0].type == "heatmap" and figure.data[0].z.shape == (10, 3)
    assert alt_of(figure) == "Efficacy: largest on average in e9 (19.000), smallest in e0 (10.000)."  # (9 + 19 + 29) / 3 and (0 + 10 + 20) / 3
    with pytest.raises(DataError, match="gates_over_time got values of shape"):
        gates_over_time(labelled(np.zeros((1, 1, 1, 1)), "a", "b", "c", "d"))


def test_weights_by_modality_draw_samples_and_their_mean() -> None:
    values = labelled([[0.2, 0.8], [0.4, 0.6]], "sample", "modality", modality=NAMES)
    figure = weights_by_modality(values, quantity="weight")
    assert list(trace(figure, "audio").y) == [0.8, 0.6] and list(trace(figure, "audio, mean").y) == [pytest.approx(0.7)]
    assert alt_of(figure) == "Weight: audio has the largest mean (.700), text the smallest (.300); 2 samples."
    alone = weights_by_modality(labelled([0.1, 0.3], "pair", pair=["a x b", "a x c"]), quantity="terms")
    assert alt_of(alone) == "Terms: a x c has the largest value (.300), a x b the smallest (.100)." and caption_of(alone).endswith("One number each.")
    with pytest.raises(DataError, match="weights_by_modality got values of shape"):
        weights_by_modality(labelled(np.zeros((0, 2)), "sample", "modality"))


def test_many_long_names_stand_at_the_left() -> None:
    names = [f"text+audio->vision {i}" for i in range(10)]
    figure = weights_by_modality(labelled(np.ones((2, 10)) * np.arange(10), "sample", "edge", edge=names))
    assert figure.layout.yaxis.ticktext[0] == "text+audio-&gt;vision 0"
    assert list(trace(figure, "text+audio-&gt;vision 3").x) == [3, 3]


def test_adjacency_writes_numbers_and_names_the_ends() -> None:
    values = labelled(
        [[[1, 0.2], [0.6, 1]], [[1, 0.4], [0.8, 1]]], "sample", "modality", "modality_attended", modality=NAMES, modality_attended=NAMES
    )
    figure = adjacency(values, quantity="weight")
    assert alt_of(figure) == "Weight: strongest from audio to text (.700), weakest from text to audio (.300)."
    assert "Means over 2 samples." in caption_of(figure)
    written = {(note.x, note.y): note.text for note in figure.layout.annotations if note.x is not None and "<b>" not in note.text}
    assert written == {(0, 0): "1.00", (1, 0): ".30", (0, 1): ".70", (1, 1): "1.00"}
    with pytest.raises(DataError, match=r"adjacency got a matrix of shape \(1, 2\)"):
        adjacency(labelled([[1, 2]], "node", "node_attended"))


def test_edges_that_are_all_alike_are_said_to_be() -> None:
    assert (
        alt_of(adjacency(labelled(np.full((2, 2), 0.5), "node", "node_attended"), quantity="weight")) == "Weight: the same between all nodes (.500)."
    )


def test_factors_name_the_largest_and_how_evenly_they_share() -> None:
    figure = factors(labelled([[1, -3], [1, 1]], "modality", "factor", modality=NAMES), quantity="strength")
    # By hand: sizes of factor 2 are 4 of 6 in all.
    assert alt_of(figure) == "Strength: largest in text, factor 2 (3.000)."
    assert "Factor 2 has 67 % of all; even shares would be 50 %." in caption_of(figure)
    assert "● text" in figure.layout.yaxis.ticktext[0]
    with pytest.raises(DataError, match="factors got values of shape"):
        factors(labelled([1.0], "factor"))


def test_directions_are_principal_and_their_signs_fixed() -> None:
    vectors = np.array([[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    places, told = projected(vectors)
    np.testing.assert_allclose(places, [[2, 0], [-2, 0], [0, 1], [0, -1]], atol=1e-12)
    assert told == pytest.approx((80.0, 20.0))  # 8 and 2 of 10
    assert projected(np.zeros((3, 1)))[0].shape == (3, 2)


def test_spaces_tell_how_alike_modalities_are() -> None:
    shared = labelled([[[1, 0], [2, 0]], [[0, 1], [0, 3]]], "sample", "modality", "feature", modality=NAMES)
    specific = labelled([[[1, 0], [0, 1]], [[0, 1], [-1, 0]]], "sample", "modality", "feature", modality=NAMES)
    figure = spaces(shared, specific)
    assert alt_of(figure).startswith(
        "Mean cosine between the modalities' vectors of a sample: 1.00 (95 % 1.00 to 1.00, n = 2) in the shared space, .00"
    )
    assert trace(figure, "audio, shared").marker.symbol == "square" and trace(figure, "audio, specific").marker.symbol == "square-open"
    assert len(spaces(shared).data) == 2
    with pytest.raises(DataError, match="spaces got shared vectors of shape"):
        spaces(shared.isel(sample=0))


def test_a_cosine_leaves_out_vectors_of_zeros() -> None:
    assert cosines(np.array([[[1.0, 0], [1, 1]], [[0, 0], [1, 0]]])) == pytest.approx([2**-0.5])


def terms(**found) -> pd.DataFrame:
    rows = [
        ("misa", seed, epoch, term, value + 0.1 * seed) for term, values in found.items() for seed in (0, 1) for epoch, value in enumerate(values, 1)
    ]
    return pd.DataFrame(rows, columns=["variant", "seed", "epoch", "term", "value"])


def test_terms_of_the_loss_are_told_from_first_to_last_epoch() -> None:
    figure = auxiliary_losses(terms(similarity=[1.0, 0.5], difference=[0.2, 0.1]))
    assert alt_of(figure) == "Similarity from 1.050 to .550, difference from .250 to .150 between the first and the last epoch."
    assert list(trace(figure, "similarity").y) == [1.05, 0.55] and list(trace(figure, "similarity, range").y) == [1.1, 0.6, 0.5, 1.0]
    assert {"similarity", "difference"} <= {note.text for note in figure.layout.annotations}
    assert trace(figure, "similarity").line.dash != trace(figure, "difference").line.dash


def test_terms_on_a_log_axis_count_what_is_left_out() -> None:
    figure = auxiliary_losses(terms(a=[1.0, 0.1], b=[-1.0, 0.1]), log=True)
    assert figure.layout.yaxis.type == "log"
    assert caption_of(figure).endswith("2 values not above zero cannot be drawn on the log scale.")
    with pytest.raises(DataError, match="auxiliary_losses needs the column term"):
        auxiliary_losses(terms(a=[1.0]).drop(columns="term"))


def test_made_labels_are_compared_with_that_of_the_whole() -> None:
    rows = [(e, s, m, t + e * d, t) for e in (0, 1, 2) for s, t in enumerate([-1.0, 1.0]) for m, d in (("text", 0.1), ("audio", -0.3))]
    figure = pseudo_labels(pd.DataFrame(rows, columns=["epoch", "sample", "modality", "value", "target"]))
    apart = "in epoch 2 text's by .200, audio's by .600 on average (2 samples)."
    assert alt_of(figure) == f"Audio's made labels are furthest from those of the whole: {apart}"
    assert "true" not in caption_of(figure) and figure.layout.xaxis2.title.text == "label of the whole [score]"
    assert list(trace(figure, "audio").y) == pytest.approx([0, -0.3, -0.6])
    assert list(trace(figure, "audio, samples").x) == [-1, 1] and list(trace(figure, "audio, samples").y) == pytest.approx([-1.6, 0.4])
    with pytest.raises(DataError, match="pseudo_labels needs the column target"):
        pseudo_labels(pd.DataFrame(rows, columns=["epoch", "sample", "modality", "value", "truth"]))


def test_the_kind_picks_the_figure() -> None:
    values = labelled([[0.5, 0.5]], "text_time", "audio_time")
    steps = {"text_time": {"modality": "text", "words": ["x"], "rate": None}, "audio_time": {"modality": "audio", "words": None, "rate": 4.0}}
    figure = draw_view({"kind": "attention", "values": values, "steps": steps, "title": "map", "quantity": "weights"})
    assert figure.layout.xaxis.title.text == "looks at: audio [s]"
    with pytest.raises(ConfigError, match='unknown kind of view "picture"'):
        draw_view({"kind": "picture"})
