"""What the delta moves: maps whose total variation and share on the planted moments are known, and what the figures say of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from workbench import methods
from workbench.data import load
from workbench.errors import ConfigError, DataError
from workbench.figures import caption_of, delta_map, moved_shares
from workbench.figures.captions import alt_of
from workbench.figures.delta_maps import say_moved
from workbench.probes.delta_maps import COLUMNS, attending, delta_view, moved_weights, planted_windows
from workbench.taps import Tap


class Knowing(torch.nn.Module):
    """An encoder with two heads that look everywhere alike; with the delta the first looks at the planted steps only, the second at the others."""

    def __init__(self, inner, data, name):
        super().__init__()
        self.inner, self.data, self.name, self.size = inner, data, name, inner.size
        self.attention = torch.nn.Module()
        axes = (f"{name}_time", f"{name}_time_attended")
        self.attention.weights, self.attention.plain = (Tap("batch", "head", *axes) for _ in range(2))

    def forward(self, modality):
        real = modality.mask.float()
        plain = (real[:, :, None] * real[:, None, :] / real.sum(1)[:, None, None])[:, None].repeat(1, 2, 1, 1)
        planted = self.planted(modality)
        parts = []
        for marked in (planted, real * (1 - planted)):
            parts.append(real[:, :, None] * marked[:, None, :] / marked.sum(1).clamp_min(1)[:, None, None])
        self.attention.plain(plain)
        self.attention.weights(torch.stack(parts, 1))
        return self.inner(modality)

    def planted(self, modality):
        marked = torch.zeros(modality.mask.shape)
        for place, row in enumerate(self.rows.tolist()):
            for start, end in planted_windows(self.data, "test", self.name, row).values():
                marked[place, start:end] = 1
        return marked


@pytest.fixture(scope="module")
def opinions():
    return load("opinions/balanced", samples=40, valid=20, test=30, informativeness={"audio": 0.6})


@pytest.fixture(scope="module")
def model(opinions):
    made = methods.build("attention.cross", {"hidden_size": 8, "post_size": 5}, opinions.spec, seed=1)
    for name in ("text", "audio"):
        made.encoders[name] = Knowing(made.encoders[name], opinions, name)

    def tell(module, args):
        for name in ("text", "audio"):
            module.encoders[name].rows = args[0].index

    made.register_forward_pre_hook(tell)
    return made


def test_windows_are_those_of_the_simulator(opinions):
    evidence = opinions["test"].evidence
    row = int(np.flatnonzero((evidence["audio_shared_window"][:, 0] >= 0) & (evidence["text_shared_position"] >= 0))[0])
    place = int(evidence["text_shared_position"][row])
    assert planted_windows(opinions, "test", "text", row)["shared"] == (place, place + 1)
    assert planted_windows(opinions, "test", "audio", row)["shared"] == tuple(evidence["audio_shared_window"][row])
    hidden = int(np.flatnonzero(evidence["audio_unique_window"][:, 0] < 0)[0])
    assert "unique" not in planted_windows(opinions, "test", "audio", hidden)


def test_steps_of_an_aligned_view_are_other_steps():
    aligned = load("opinions/balanced", samples=40, valid=20, test=30, align_to="text")
    assert all(planted_windows(aligned, "test", "audio", row) == {} for row in range(30))
    assert any(planted_windows(aligned, "test", "text", row) for row in range(30))


def test_moved_weight_and_its_place_by_hand(model, opinions):
    found = moved_weights(model, opinions)
    assert tuple(found.columns) == COLUMNS and attending(model) == ["text", "audio"]
    assert list(dict.fromkeys(found["modality"])) == ["text", "audio"], "in the card's order"
    lengths = dict(zip(opinions["test"].ids, opinions["test"].columns["audio"].lengths.tolist(), strict=True))
    audio = found[(found["modality"] == "audio") & found["inside"].notna()]
    first, second = audio[audio["head"] == 1], audio[audio["head"] == 2]
    assert len(first) > 10 and len(first) == len(second)
    # All weight on a share e of the steps, where 1 was spread evenly: 1 - e moves. All weight on the others: e moves.
    np.testing.assert_allclose(first["moved"], 1 - first["even"], atol=1e-5)
    np.testing.assert_allclose(second["moved"], second["even"], atol=1e-5)
    np.testing.assert_allclose(first["inside"], 1, atol=1e-5)
    np.testing.assert_allclose(second["inside"], 0, atol=1e-5)
    np.testing.assert_allclose(first["inside_plain"], first["even"], atol=1e-5)
    shares = [planted_share(opinions, "audio", opinions["test"].ids.index(name), lengths[name]) for name in first["sample"]]
    np.testing.assert_allclose(first["even"], shares, atol=1e-9)


def planted_share(data, modality, row, length):
    steps = set()
    for start, end in planted_windows(data, "test", modality, row).values():
        steps |= set(range(start, min(end, length)))
    return len(steps) / length


def test_a_model_in_training_mode_is_left_in_it(model, opinions):
    model.train()
    moved_weights(model, opinions, modalities=["text"])
    assert model.training
    model.eval()


def test_one_sample_is_cut_to_its_own_steps(model, opinions):
    view = delta_view(model, opinions, modality="audio", head=1, sample=4)
    length = int(opinions["test"].columns["audio"].lengths[4])
    assert view["plain"].shape == view["with_delta"].shape == (length, length)
    assert view["head"] == 2 and view["rate"] == 20.0 and view["words"] is None and view["sample"] == opinions["test"].ids[4]
    assert view["windows"] == planted_windows(opinions, "test", "audio", 4)
    words = delta_view(model, opinions, modality="text", sample=4)["words"]
    assert words == opinions["test"].texts[4].split()


def test_what_is_not_there_is_refused(model, opinions):
    with pytest.raises(ConfigError, match="there is no head 2: audio has 2"):
        delta_view(model, opinions, modality="audio", head=2)
    with pytest.raises(ConfigError, match="unknown modality with delta attention"):
        delta_view(model, opinions, modality="vision")
    with pytest.raises(ConfigError, match="no delta attention to look at"):
        moved_weights(methods.build("lf_dnn", {"hidden_size": 4}, opinions.spec), opinions)


def test_data_without_evidence_has_no_planted_share(model, opinions):
    bare = replace(opinions, splits={**opinions.splits, "test": replace(opinions["test"], evidence={})})
    found = moved_weights(model, bare)
    assert found["inside"].isna().all() and found["even"].isna().all() and found["moved"].notna().all()
    assert "is not known here" in say_moved(found, "audio")


# Figures


def view(plain, with_delta, **known):
    known = {"modality": "text", "head": 1, "sample": "a", "words": list("abc")[: len(plain)], "rate": None, "windows": {}} | known
    return {"plain": np.array(plain, float), "with_delta": np.array(with_delta, float), **known}


def test_three_panels_on_two_scales_and_the_windows_above():
    plain = [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]
    with_delta = [[0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5]]
    figure = delta_map(view(plain, with_delta, windows={"shared": (1, 2)}))
    maps = [found for found in figure.data if found.type == "heatmap"]
    assert [found.name for found in maps] == ["without the delta", "with the delta", "difference"]
    assert (maps[0].zmin, maps[0].zmax) == (maps[1].zmin, maps[1].zmax) == (0, 1)
    assert (maps[2].zmin, maps[2].zmax) == (-0.5, 0.5)
    np.testing.assert_allclose(np.array(maps[2].z), np.array(with_delta) - np.array(plain))
    marks = [found for found in figure.data if found.type == "scatter"]
    assert len(marks) == 3 and list(marks[0].x) == [0.5, 1.0, 1.5] and marks[0].y[0] < -0.5
    # Rows move 0, .5, .5 of their weight.
    assert alt_of(figure) == "Text, head 1: in this sample the delta moves .33 of the weight of a row."
    assert "planted shared" in caption_of(figure)


def test_seconds_stand_on_the_axes_of_long_maps():
    even = np.full((300, 300), 1 / 300)
    figure = delta_map(view(even, even, modality="audio", words=None, rate=20.0, windows={"shared": (100, 115)}))
    assert figure.layout.xaxis.title.text == "looks at: audio [s]" and "#B34F00" in str(figure.layout.xaxis.title.font.color)
    assert max(float(text) for text in figure.layout.xaxis.ticktext) <= 15
    maps = next(found for found in figure.data if found.type == "heatmap")
    assert np.array(maps.z).shape == (40, 48)
    mark = next(found for found in figure.data if found.type == "scatter")
    np.testing.assert_allclose(mark.x, [100 * 48 / 300 - 0.5, 107.5 * 48 / 300 - 0.5, 115 * 48 / 300 - 0.5])
    assert "moves .00 of the weight" in alt_of(figure) and "mean over up to 8 by 7 steps" in caption_of(figure)


def test_maps_of_other_shapes_are_refused():
    with pytest.raises(DataError, match=r"delta_map got maps of shapes \(2, 2\) and \(3, 3\)"):
        delta_map(view(np.eye(2), np.eye(3)))


def moves(inside, plain, *, unit="sample", moved=0.2):
    rows = [("audio", 1, f"s{i}", moved, value, other, 0.1) for i, (value, other) in enumerate(zip(inside, plain, strict=True))]
    frame = pd.DataFrame(rows, columns=["modality", "head", "sample", "moved", "inside", "inside_plain", "even"])
    return frame.assign(seed=range(len(frame))) if unit == "seed" else frame


def test_where_weight_moves_is_said_with_its_interval():
    towards = moves([0.3, 0.4, 0.35], [0.1, 0.2, 0.16])
    # Differences .2, .2, .19: mean .1967, standard error .00333, t(2) = 4.303.
    assert say_moved(towards, "audio") == (
        "Over all samples: .20 (95 % .20 to .20) of the weight moves (3 samples); the share on planted moments goes from .153 to .350: "
        "towards them, +.197 (95 % +.182 to +.211, n = 3, p < .001)."
    )
    assert "away from them, -.197" in say_moved(moves([0.1, 0.2, 0.16], [0.3, 0.4, 0.35]), "audio")
    neither = say_moved(moves([0.1, 0.3], [0.3, 0.1], unit="seed"), "audio", head=1)
    assert "no difference found: .000" in neither.replace("+", "") and "(2 seeds)" in neither
    with pytest.raises(DataError, match="say_moved got no row of audio, head 7"):
        say_moved(towards, "audio", head=7)


def test_shares_have_both_marks_and_chance():
    figure = moved_shares(moves([0.3, 0.4], [0.1, 0.2]))
    found = {trace.name: trace for trace in figure.data}
    assert list(found["audio, without"].y) == [pytest.approx(0.15)] and list(found["audio, with"].y) == [pytest.approx(0.35)]
    assert found["audio, without"].marker.symbol == "square-open" and found["audio, with"].marker.symbol == "square"
    assert list(found["audio, everywhere alike"].y) == [pytest.approx(0.1)] * 2
    assert alt_of(figure).startswith("Audio. Over all samples: .20")
