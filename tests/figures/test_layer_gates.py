"""Gates by layer and over epochs, and attention by layer: what is drawn and what is said."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from workbench.errors import DataError
from workbench.figures import attention_by_layer, caption_of, gates_by_layer, gates_over_epochs
from workbench.figures.captions import alt_of


def gates(values, *, gate="retain", modality="audio", samples=1) -> pd.DataFrame:
    """`values[seed][layer]`, every sample alike but for a spread of .02 where there are two."""
    rows = [
        {"gate": gate, "layer": layer + 1, "modality": modality, "seed": seed, "sample": sample, "value": value + 0.02 * sample}
        for seed, row in enumerate(values)
        for layer, value in enumerate(row)
        for sample in range(samples)
    ]
    return pd.DataFrame(rows)


def named(figure) -> dict:
    return {trace.name: trace for trace in figure.data}


def test_a_line_a_seed_and_their_mean_with_its_interval():
    figure = gates_by_layer(gates([[0.4, 0.6], [0.5, 0.8]]))
    found = named(figure)
    assert set(found) == {"0.5", "audio", "audio, seed 0", "audio, seed 1"}
    assert list(found["audio"].y) == pytest.approx([0.45, 0.7]) and list(found["audio"].x) == [1, 2]
    # Two values .1 apart: standard error .05, Student's t with one degree of freedom 12.706.
    assert found["audio"].error_y.array[0] == pytest.approx(12.706 * 0.05, rel=1e-4)
    assert alt_of(figure) == "Gate: largest retain of audio in layer 2 (.700), smallest retain of audio in layer 1 (.450)."
    assert "Dashed: .5, near which gates start." in caption_of(figure)


def test_samples_are_averaged_and_their_spread_is_said():
    figure = gates_by_layer(gates([[0.4, 0.6]], samples=2))
    assert list(named(figure)["audio"].y) == pytest.approx([0.41, 0.61])
    # .02 apart: a standard deviation of .02 / sqrt(2).
    assert "2 samples a seed, apart by a standard deviation of .014 at most." in caption_of(figure)
    assert "One seed." in caption_of(figure)


def test_small_changes_look_small():
    reach = gates_by_layer(gates([[0.5, 0.501]])).layout.yaxis.range
    assert reach[1] - reach[0] > 0.1


def test_one_layer_one_gate_one_number():
    figure = gates_by_layer(gates([[0.3]]), quantity="movement", level=None)
    assert alt_of(figure) == "Movement: retain of audio in layer 1 (.300), the only one."
    assert "Dashed" not in caption_of(figure) and set(named(figure)) == {"audio"}
    assert figure.layout.yaxis.range[0] == 0, "a size begins at zero"


def test_a_panel_a_gate_and_a_hue_a_modality():
    frame = pd.concat([gates([[0.4, 0.6]]), gates([[0.5, 0.5]], modality="vision"), gates([[0.5, 0.4]], gate="screening")])
    figure = gates_by_layer(frame)
    assert [note.text for note in figure.layout.annotations if "<b>" in note.text] == ["<b>retain</b>", "<b>screening</b>"]
    assert {trace.marker.color for trace in figure.data if trace.name in ("audio", "vision")} == {"#D55E00", "#009E73"}


def test_names_from_data_are_escaped():
    figure = gates_by_layer(gates([[0.4, 0.6]], modality="<b>x</b>", gate="<i>g"))
    assert "<i>" not in str([note.text for note in figure.layout.annotations])
    assert all("<b>x" not in str(trace.name) for trace in figure.data)


@pytest.mark.parametrize("figure", [gates_by_layer, gates_over_epochs])
def test_a_table_that_is_none_is_refused(figure):
    with pytest.raises(DataError, match=f"{figure.__name__} needs the column"):
        figure(pd.DataFrame({"value": [1.0]}))
    with pytest.raises(DataError, match="without a single value"):
        figure(gates([[np.nan]]).assign(epoch=1))


def epochs(*tables) -> pd.DataFrame:
    """`table[layer][epoch]`, one table a seed."""
    rows = [
        {"gate": "retain", "modality": "audio", "seed": seed, "layer": layer + 1, "epoch": epoch + 1, "value": value}
        for seed, table in enumerate(tables)
        for layer, row in enumerate(table)
        for epoch, value in enumerate(row)
    ]
    return pd.DataFrame(rows)


def test_a_line_a_layer_with_its_number_at_the_end():
    figure = gates_over_epochs(epochs([[0.5, 0.4], [0.5, 0.9]], [[0.5, 0.4], [0.5, 0.7]]))
    assert [trace.name for trace in figure.data] == ["audio, layer 1", "audio, layer 2"]
    assert list(figure.data[1].y) == pytest.approx([0.5, 0.8]) and figure.data[1].line.dash == "dash"
    assert [note.text for note in figure.layout.annotations if "<b>" not in note.text] == ["■ 1", "■ 2"]
    assert "those that lack the modality too" in caption_of(figure)
    # +.4 and +.2: mean .3, standard error .1.
    assert alt_of(figure) == ("Furthest from the first to the last epoch moves retain of audio in layer 2: by +.300 (95 % -.971 to +1.571, n = 2).")


def test_of_many_layers_the_first_and_the_last_are_named():
    figure = gates_over_epochs(epochs([[0.5, 0.4 + layer / 100] for layer in range(14)]))
    assert len(figure.data) == 14
    assert [note.text for note in figure.layout.annotations if "<b>" not in note.text] == ["■ 1", "■ 14"]


def test_one_epoch_of_one_seed():
    assert alt_of(gates_over_epochs(epochs([[0.5]]))).endswith("retain of audio in layer 1: by +.000.")


# Attention


def view(weights, *, layer=1, words=("so", "good")) -> dict:
    values = xr.DataArray(np.asarray(weights, float), dims=("head", "text_time", "audio_time")[-np.ndim(weights) :])
    steps = {
        "text_time": {"modality": "text", "words": list(words) if words else None, "rate": None},
        "audio_time": {"modality": "audio", "words": None, "rate": 20.0},
    }
    return {"values": values, "steps": steps, "title": f"fused, audio, layer {layer}, cross attention: weights", "layer": layer}


def test_a_map_a_layer_on_one_scale():
    even, sharp = [[0.25] * 4, [0.25] * 4], [[1.0, 0, 0, 0], [0, 1.0, 0, 0]]
    figure = attention_by_layer([view(even, layer=1), view([sharp, sharp], layer=2)])
    assert [trace.type for trace in figure.data] == ["heatmap", "heatmap"]
    assert {trace.zmax for trace in figure.data} == {1.0}
    assert np.asarray(figure.data[1].z).tolist() == sharp
    assert alt_of(figure) == "Share of the steps of audio that a word of text looks at (1: everywhere alike): 1.00 in layer 1, .25 in layer 2."
    assert list(figure.layout.yaxis.ticktext) == ["so", "good"] and "looks at 0.00 to 0.05 s" in figure.data[0].text[0][0]


def test_words_of_the_data_are_escaped_and_long_maps_are_pooled():
    weights = np.full((2, 500), 1 / 500)
    figure = attention_by_layer([view(weights, words=("<b>", "%{x}"))])
    assert figure.data[0].z.shape == (2, 48)
    assert "A cell is the mean over up to 11 steps." in caption_of(figure)
    assert "<b>" not in str(figure.layout.yaxis.ticktext)


def test_rows_that_have_nothing_to_look_at():
    assert alt_of(attention_by_layer([view([[0.0, 0.0], [0.0, 0.0]], words=None)])).endswith(
        "a step of text looks at (1: everywhere alike): none in layer 1."
    )


@pytest.mark.parametrize("views", [[], [view([[1.0], [1.0]]), view([[0.5, 0.5], [0.5, 0.5]])]])
def test_no_map_and_maps_of_other_shapes_are_refused(views):
    with pytest.raises(DataError, match=f"attention_by_layer got {len(views)} maps"):
        attention_by_layer(views)
