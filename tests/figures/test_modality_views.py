"""Matrices, gates and graphs of modalities, by class and for all samples: what is drawn and what is said."""

import numpy as np
import pytest
import xarray as xr

from workbench.errors import DataError
from workbench.figures import caption_of, draw_view, gates_by_class, gates_by_modality, matrices_by_class, modality_graph
from workbench.figures.captions import alt_of
from workbench.figures.modality_graph import circle

NAMES = ["text", "audio", "vision"]


def table(mean, *, half=0.01, apart=0.0, reach=0.1, dims=("modality",), names=("negative", "positive"), n=None, **coords) -> xr.Dataset:
    """A table as `by_class` gives it: means with intervals of `half`, differences `apart` with intervals of `reach`."""
    mean = np.asarray(mean, float)
    apart = np.broadcast_to(np.asarray(apart, float), mean.shape)
    parts = {"mean": mean, "low": mean - half, "high": mean + half, "apart": apart, "apart_low": apart - reach, "apart_high": apart + reach}
    arrays = {name: (("class", *dims), part) for name, part in parts.items()} | {"n": (("class",), np.asarray(n or [10] * len(mean)))}
    return xr.Dataset(arrays, coords={"class": list(names), **coords}, attrs={"unit": "sample", "samples": 20})


def square(*means, **settings) -> xr.Dataset:
    names = NAMES[: np.shape(means)[-1]]
    return table(means, dims=("modality", "modality_attended"), modality=names, modality_attended=names, **settings)


def written(figure) -> list[str]:
    return [note.text for note in figure.layout.annotations if "<b>" not in note.text]


def graph(values, *dims) -> xr.DataArray:
    values = np.asarray(values, float)
    names = [*NAMES, "pulse", "gaze", "depth"][: values.shape[-1]]
    coords = {"modality": names, "modality_attended": names}
    return xr.DataArray(values, dims=(*dims, "modality", "modality_attended"), coords=coords)


# Matrices by class


def test_a_matrix_a_class_with_its_numbers_in_greys_and_hues_on_the_axes_only():
    figure = matrices_by_class(square([[0.2, 0.8], [0.4, 0.6]], [[0.5, 0.5], [0.1, 0.9]]))
    assert [found.type for found in figure.data] == ["heatmap", "heatmap"]
    assert written(figure) == [".20", ".80", ".40", ".60", ".50", ".50", ".10", ".90"]
    assert {found.zmax for found in figure.data} == {1.0}, "shares of one: black is all of it"
    signed = matrices_by_class(square([[1, -0.2], [-0.2, 1]], [[1, -3.0], [-3.0, 1]]))
    assert {found.zmax for found in signed.data} == {3.0}, "one scale for all panels"
    assert "#0072B2" in figure.layout.xaxis.ticktext[0] and "● text" in figure.layout.yaxis.ticktext[0]
    assert all("#0072B2" not in str(found.colorscale) for found in figure.data)
    assert [note.text for note in figure.layout.annotations if "<b>" in note.text] == ["<b>negative (n = 10)</b>", "<b>positive (n = 10)</b>"]


def test_the_class_that_differs_most_is_said_with_its_interval():
    means = [[0.2, 0.8], [0.4, 0.6]], [[0.5, 0.5], [0.1, 0.9]]
    apart = np.zeros((2, 2, 2))
    apart[1, 1, 0], apart[0, 0, 1] = -0.3, 0.2
    found = square(*means, apart=apart, reach=0.15)
    expected = "Attention weight differs by class (2 classes of 2); most in positive: audio to text .100, -.300 against the others "
    assert alt_of(matrices_by_class(found)) == expected + "(95 % for all comparisons at once -.450 to -.150)."
    none = alt_of(matrices_by_class(square(*means, apart=apart, reach=0.5)))
    assert none.startswith("No class found to differ in its attention weight; the largest difference is that of positive: audio to text .100, -.300")


def test_a_difference_that_cannot_be_seen_is_none():
    apart = [[[0, 0.0004], [0, 0]], [[0, -0.0004], [0, 0]]]
    said = alt_of(matrices_by_class(square([[0.2, 0.8], [0.4, 0.6]], [[0.2, 0.8], [0.4, 0.6]], apart=apart, reach=0.0001)))
    assert said.startswith(
        "No class found to differ in its attention weight by .001 or more; the largest difference is that of negative: text to audio"
    )


def test_one_class_and_classes_without_intervals_are_said():
    one = square([[0.2, 0.8], [0.4, 0.6]], names=["neutral"], apart=np.nan)
    assert alt_of(matrices_by_class(one)) == "One class only (neutral): nothing to compare."
    few = square([[0.2, 0.8], [0.4, 0.6]], [[0.2, 0.8], [0.4, 0.6]], apart=[[[0, 0.1], [0, 0]], [[0, -0.1], [0, 0]]], reach=np.nan)
    assert alt_of(matrices_by_class(few)) == "Attention weight in the class negative: text to audio .800, +.100 against the others (no interval)."
    unknown = square([[0.2, 0.8], [0.4, 0.6]], [[np.nan, np.nan]] * 2, apart=np.nan)
    assert alt_of(matrices_by_class(unknown)) == "Attention weight: no class has samples enough to be compared."
    assert written(matrices_by_class(unknown))[4:] == ["-"] * 4


def test_of_many_classes_those_with_most_samples_are_drawn():
    count = 12
    found = square(*[[[0.5, 0.5], [0.5, 0.5]]] * count, names=[f"genre {i}" for i in range(count)], n=list(range(1, count + 1)))
    figure = matrices_by_class(found)
    assert len(figure.data) == 9
    assert "Of 12 classes the 9 with most samples." in caption_of(figure)
    assert figure.data[0].name == "attention weight, genre 3 (n = 4)"


def test_features_have_numbers_on_the_axis_and_none_in_the_cells():
    found = table(np.full((2, 2, 40), 0.5), dims=("modality", "feature"), modality=NAMES[:2])
    figure = matrices_by_class(found, quantity="gate")
    assert written(figure) == [] and figure.layout.xaxis.ticktext[0] == "1" and figure.layout.xaxis.title.text == "feature"


@pytest.mark.parametrize("figure", [matrices_by_class, gates_by_class, modality_graph])
def test_a_table_that_is_none_is_refused(figure):
    with pytest.raises(DataError, match=f"{figure.__name__} got a table with"):
        figure(xr.Dataset({"mean": (("class",), [1.0])}))
    with pytest.raises(DataError, match=f"{figure.__name__} got a table with"):
        figure(square([[np.nan, np.nan], [np.nan, np.nan]], names=["one"]))


# Gates


def test_gates_have_a_mark_a_modality_and_class_with_intervals():
    figure = gates_by_class(table([[0.2, 0.5], [0.3, 0.6]], modality=NAMES[:2], apart=[[-0.2, 0], [0.2, 0]]), quantity="gate")
    assert [list(found.y) for found in figure.data] == [[0.2, 0.3], [0.5, 0.6]]
    assert [found.marker.color for found in figure.data] == ["#0072B2", "#D55E00"]
    np.testing.assert_allclose(figure.data[0].error_y.array, 0.01)
    assert alt_of(figure).startswith("Gate differs by class (2 classes of 2); most in negative: text .200, -.200 against the others")
    seeds = table([[0.2, 0.5], [0.3, 0.6]], modality=NAMES[:2])
    assert caption_of(gates_by_class(seeds.assign_attrs(unit="seed", seeds=3))).endswith("Means of 3 seeds, intervals over them; 20 samples.")


def test_gates_of_samples_and_of_features():
    values = xr.DataArray(
        [[[0.1, 0.3], [0.8, 0.6]], [[0.3, 0.5], [0.8, 0.6]]], dims=("sample", "modality", "feature"), coords={"modality": NAMES[:2]}
    )
    figure = gates_by_modality(values, quantity="gate")
    found = {trace.name: list(trace.y) for trace in figure.data}
    assert found["text"] == pytest.approx([0.2, 0.4]) and found["text, features"] == pytest.approx([0.2, 0.4])
    assert found["audio, features"] == pytest.approx([0.6, 0.8]), "from closed to open"
    # Samples .2 and .4: mean .3, interval .3 +- 12.706 * .1; the audio's do not vary.
    assert alt_of(figure) == "Gate, mean over the features: audio .700 (95 % .700 to .700), text .300 (95 % -.971 to 1.571); 2 samples."
    assert "The features differ by up to .200 (text)." in caption_of(figure) or "The features differ by up to .200 (audio)." in caption_of(figure)
    view = {"kind": "gates", "values": values, "quantity": "gate", "title": "gate"}
    assert alt_of(draw_view(view)) == alt_of(figure)


def test_a_modality_that_no_sample_has_is_left_out_of_the_gates():
    values = xr.DataArray(np.full((3, 2, 2), 0.5), dims=("sample", "modality", "feature"), coords={"modality": NAMES[:2]})
    values[:, 1] = np.nan
    figure = gates_by_modality(values)
    assert "audio" not in alt_of(figure) and "audio" not in [found.name for found in figure.data]
    with pytest.raises(DataError, match="gates_by_modality got values of shape"):
        gates_by_modality(values * np.nan)


# The graph


def test_edges_are_as_wide_as_their_cosine_and_dashed_below_zero():
    figure = modality_graph(graph([[1, 0.5, -0.25], [0.5, 1, 0.0], [-0.25, 0.0, 1]]))
    edges = {found.name: found for found in figure.data if found.mode == "lines"}
    assert set(edges) == {"text and audio", "text and vision", "audio and vision"}
    assert edges["text and audio"].line.width == pytest.approx(1 + 11 * 0.5) and edges["text and audio"].line.dash == "solid"
    assert edges["text and vision"].line.width == pytest.approx(1 + 11 * 0.25) and edges["text and vision"].line.dash == "dash"
    assert {".50", "-.25", ".00", "text", "audio", "vision"} == set(written(figure))
    assert alt_of(figure) == "Cosine similarity: strongest between text and audio (.500), weakest between audio and vision (.000)."
    assert "1 of 3 pairs below zero." in caption_of(figure)


def test_samples_give_the_mean_with_its_interval():
    figure = modality_graph(graph([[[1, 0.1], [0.1, 1]], [[1, 0.3], [0.3, 1]]], "sample"))
    # .1 and .3: mean .2, standard error .1.
    assert alt_of(figure) == "Cosine similarity: text and audio (.200, 95 % -1.071 to 1.471)."
    assert ".20" in written(figure) and "Means over 2 samples." in caption_of(figure)


def test_negative_cosines_alone_are_counted():
    figure = modality_graph(graph(np.where(np.eye(3), 1.0, -0.4)))
    assert "3 of 3 pairs below zero." in caption_of(figure)
    assert {found.line.dash for found in figure.data if found.mode == "lines"} == {"dash"}


def test_weights_of_one_direction_stand_near_the_one_that_looks():
    figure = modality_graph(graph([[0.9, 0.1], [0.3, 0.7]]), quantity="weight")
    notes = {note.text: note.x for note in figure.layout.annotations if note.text in (".10", ".30")}
    assert notes[".10"] < 0 < notes[".30"], "text, which looks at audio by .10, stands at the left"
    assert alt_of(figure) == "Weight: text and audio (.200)."


@pytest.mark.parametrize("count", range(2, 7))
def test_two_to_six_modalities_have_places_of_their_own(count):
    places = circle(count)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)[~np.eye(count, dtype=bool)]
    assert apart.min() > 0.9
    figure = modality_graph(graph(np.eye(count)))
    assert len([found for found in figure.data if found.mode == "markers"]) == count
    assert len([found for found in figure.data if found.mode == "lines"]) == count * (count - 1) // 2


def test_a_graph_a_class():
    figure = modality_graph(square([[1, 0.2], [0.2, 1]], [[1, -0.4], [-0.4, 1]], apart=[[[0, 0.6], [0.6, 0]], [[0, -0.6], [-0.6, 0]]]))
    assert [found.line.dash for found in figure.data if found.mode == "lines"] == ["solid", "dash"]
    assert alt_of(figure).startswith("Cosine similarity differs by class (2 classes of 2); most in negative: text and audio .200, +.600")


def test_what_is_no_graph_is_refused():
    with pytest.raises(DataError, match=r"modality_graph got a matrix of shape \(1, 1\)"):
        modality_graph(graph([[1.0]]))
    with pytest.raises(DataError, match="modality_graph got values of shape"):
        modality_graph(graph([[np.nan, np.nan], [np.nan, np.nan]]))


def test_a_modality_without_any_number_has_no_edge():
    values = graph([[1, 0.5, np.nan], [0.5, 1, np.nan], [np.nan, np.nan, np.nan]])
    assert [found.name for found in modality_graph(values).data if found.mode == "lines"] == ["text and audio"]
