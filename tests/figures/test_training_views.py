"""The four panels of the studio: numbers, names and sentences, frame by frame."""

import itertools
import math

import pytest

from workbench.figures import training_views as views
from workbench.figures.palette import styles

MODALITIES = ("text", "audio", "vision")
CEILING = {"all": {"acc": 0.96}, "text": {"acc": 0.85}, "audio": {"acc": 0.86}, "vision": {"acc": 0.82}}
ALONE = {name: CEILING[name]["acc"] for name in MODALITIES}


def columns(epochs: int = 3, **changed: list[float]) -> dict[str, list[float]]:
    """A training in which text's gradient is 14 times audio's and vision's in between."""
    found = {"epoch": [float(i + 1) for i in range(epochs)], "seconds": [0.1] * epochs}
    found |= {"score.valid": [0.5, 0.7, 0.8][:epochs], "score.train": [0.6, 0.8, 0.9][:epochs]}
    found |= {"loss.valid": [1.5, 1.2, 1.1][:epochs], "loss.train": [1.4, 1.0, 0.8][:epochs]}
    for name, gradient, probe, weight in (("text", 1.4e-3, 0.80, 0.4), ("audio", 1e-4, 0.61, 1.6), ("vision", 5e-4, 0.70, 1.0)):
        found |= {f"gradient.{name}": [gradient] * epochs, f"update.{name}": [gradient * 10] * epochs}
        found |= {f"probe.{name}": [probe] * epochs, f"weight.{name}": [1.0] * (epochs - 1) + [weight]}
    return {**found, **changed}


def test_every_frame_fits_its_panel_and_no_trace_comes_later():
    frames = {
        "curve": (views.curve_panel(MODALITIES, "Acc"), views.curve_frame(columns(), MODALITIES, metric="Acc", ceiling=0.96, alone=ALONE)),
        "magnitude": (views.magnitude_panel(MODALITIES), views.magnitude_frame(columns(), MODALITIES)),
        "weights": (views.weight_panel(MODALITIES), views.weight_frame(columns(), MODALITIES, rule="b_fusion")),
        "probes": (views.probe_panel(MODALITIES, "Acc"), views.probe_frame(columns(), MODALITIES, metric="Acc", alone=ALONE)),
    }
    for panel, frame in frames.values():
        known = [trace.name for trace in panel.data]
        assert len(set(known)) == len(known)
        assert set(frame.traces) <= set(known)
        for trace in panel.data:
            trace.update(frame.traces.get(trace.name, {}))
        for axis in ("xaxis", "yaxis"):
            assert panel.layout[axis].title.text is not None


def test_hues_are_those_of_the_modalities():
    looks = styles(MODALITIES)
    panel = views.magnitude_panel(MODALITIES)
    assert {trace.name: trace.line.color for trace in panel.data[:3]} == {name: looks[name].color for name in MODALITIES}
    bars = views.weight_panel(MODALITIES)
    assert {trace.name: trace.marker.pattern.bgcolor for trace in bars.data[:3]} == {name: looks[name].color for name in MODALITIES}


# Curves


def test_the_curve_is_the_score_with_its_ceilings():
    frame = views.curve_frame(columns(), MODALITIES, metric="Acc", ceiling=0.96, alone=ALONE)
    assert frame.traces["valid"]["y"] == [0.5, 0.7, 0.8]
    assert frame.traces["ceiling"] == {"x": [1, 3.0], "y": [0.96, 0.96]}
    assert frame.traces["audio alone"]["y"] == [0.86, 0.86]
    assert frame.sentence == "Epoch 3: Acc on valid .800, best .800, ceiling .960."


def test_losses_have_no_ceiling_and_their_best_is_the_lowest():
    frame = views.curve_frame(columns(), MODALITIES, metric="Acc", of="loss", ceiling=0.96, alone=ALONE)
    assert frame.traces["valid"]["y"] == [1.5, 1.2, 1.1]
    assert frame.traces["ceiling"]["y"] == [None]
    assert frame.traces["text alone"]["y"] == [None]
    assert frame.sentence == "Epoch 3: loss on valid 1.100, best 1.100."
    assert frame.layout["yaxis.title.text"] == "loss"


def test_losses_grow_within_a_long_epoch():
    looks = [(3.25, 1.0), (3.5, 0.9)]
    frame = views.curve_frame(columns(), MODALITIES, metric="Acc", of="loss", looks=looks)
    assert frame.traces["within"] == {"x": [3.0, 3.25, 3.5], "y": [0.8, 1.0, 0.9]}
    assert views.curve_frame({}, MODALITIES, metric="Acc", of="loss", looks=looks).traces["within"]["x"] == [3.25, 3.5]
    assert views.curve_frame(columns(), MODALITIES, metric="Acc", looks=looks).traces["within"]["y"] == [None]


def test_a_pinned_training_and_what_was_changed_are_said():
    marks = [views.Mark(2, "learning_rate 0.001 to 0.0003"), views.Mark(3, "<b>")]
    frame = views.curve_frame(columns(), MODALITIES, metric="Acc", pinned=columns(2), pinned_name="joint", marks=marks)
    assert frame.traces["pinned"] == {"x": [1.0, 2.0], "y": [0.5, 0.7]}
    assert frame.traces["changes"]["x"] == [2, 3]
    assert frame.traces["changes"]["text"] == ["learning_rate 0.001 to 0.0003", "&lt;b&gt;"]
    assert frame.sentence.endswith("pinned (joint) reached .700.")


def test_before_the_first_epoch_only_what_could_be_reached_is_drawn():
    frame = views.curve_frame({}, MODALITIES, metric="Acc", ceiling=0.96, alone=ALONE, ahead=2)
    assert frame.traces["valid"]["y"] == [None]
    assert frame.traces["ceiling"]["x"] == [1, 2]
    assert frame.sentence == "No epoch yet. Ceiling of Acc: .960."


def test_labels_at_line_ends_do_not_lie_on_each_other():
    close = columns(**{"score.valid": [0.5, 0.7, 0.859], "score.train": [0.5, 0.7, 0.8595]})
    frame = views.curve_frame(close, MODALITIES, metric="Acc", ceiling=0.96, alone=ALONE)
    places = sorted(frame.traces["labels"]["y"])
    assert min(b - a for a, b in itertools.pairwise(places)) > 0.005
    assert len(frame.traces["labels"]["textfont"]["color"]) == len(places)


# Magnitudes


def test_the_largest_is_compared_with_the_smallest():
    frame = views.magnitude_frame(columns(), MODALITIES)
    assert frame.sentence == "Epoch 3: text's gradient magnitude is 14 times audio's."
    turned = columns(**{"gradient.text": [1e-5] * 3})
    assert views.magnitude_frame(turned, MODALITIES).sentence == "Epoch 3: vision's gradient magnitude is 50 times text's."
    assert views.magnitude_frame(columns(), MODALITIES, of="update").sentence.startswith("Epoch 3: text's update norm")


def test_zeros_and_nans_have_no_place_on_a_log_axis():
    frame = views.magnitude_frame(columns(**{"gradient.audio": [0.0, math.nan, 1e-4]}), MODALITIES)
    assert frame.traces["audio"] == {"x": [3.0], "y": [1e-4]}
    none = views.magnitude_frame(columns(**{f"gradient.{name}": [math.nan] * 3 for name in MODALITIES}), MODALITIES)
    assert none.sentence == "No gradient magnitude to compare yet."


# Weights


def test_weights_are_shares_of_a_hundred():
    frame = views.weight_frame(columns(), MODALITIES, rule="b_fusion")
    assert [frame.traces[name]["y"][-1] for name in MODALITIES] == pytest.approx([100 * 0.4 / 3, 100 * 1.6 / 3, 100 / 3])
    assert [frame.traces[name]["y"][0] for name in MODALITIES] == pytest.approx([100 / 3] * 3)
    assert frame.sentence == "b_fusion weighs text .40, audio 1.60, vision 1.00."


def test_without_a_rule_it_says_so():
    assert views.weight_frame(columns(), MODALITIES, rule=None).sentence == "No balancing rule is on: every modality has the weight 1."


def test_of_many_epochs_the_last_one_is_always_drawn():
    long = columns(1)
    long["epoch"] = [float(i + 1) for i in range(1000)]
    long |= {f"weight.{name}": [1.0] * 1000 for name in MODALITIES}
    frame = views.weight_frame(long, MODALITIES, rule="b_fusion")
    assert len(frame.traces["text"]["x"]) <= views.MOST_BARS
    assert frame.traces["text"]["x"][-1] == 1000


# Probes


def test_the_modality_furthest_below_what_it_could_do_is_named():
    frame = views.probe_frame(columns(), MODALITIES, metric="Acc", alone=ALONE)
    assert frame.sentence == "Audio alone could reach .860; inside the joint model its probe shows .610."
    assert frame.traces["audio way"]["x"] == [0.61, 0.86]
    well = columns(**{"probe.audio": [0.9] * 3, "probe.text": [0.5] * 3})
    assert views.probe_frame(well, MODALITIES, metric="Acc", alone=ALONE).sentence.startswith("Text alone could reach .850")


def test_where_no_ceiling_is_known_the_probes_stand_alone():
    frame = views.probe_frame(columns(), MODALITIES, metric="Acc")
    assert frame.sentence == "Probes: text .800, audio .610, vision .700."
    assert frame.traces["audio alone"]["x"] == [None]


def test_the_sentence_below_is_made_of_what_is_seen():
    said = views.say_training(columns(), MODALITIES, metric="Acc", ceiling=CEILING, key="acc", rule=None)
    assert said == (
        "Epoch 3: text's gradient magnitude is 14 times audio's. Audio alone could reach .860; inside the joint model its probe shows .610. "
        "The joint model scores .800 of .960."
    )
    balanced = views.say_training(columns(), MODALITIES, metric="Acc", ceiling=CEILING, key="acc", rule="b_fusion")
    staged = views.say_training(columns(), MODALITIES, metric="Acc", ceiling=CEILING, key="acc", rule=None, part="unimodal.text")
    assert staged.endswith("In the stage unimodal.text its own readout scores .800.")
    assert balanced.endswith("b_fusion weighs text .40, audio 1.60, vision 1.00.")
    assert "all together .960" in views.say_training({}, MODALITIES, metric="Acc", ceiling=CEILING, key="acc", rule=None)
    assert views.say_training({}, MODALITIES, metric="Acc", ceiling={}, key="acc", rule=None) == "Press Start. Every picture grows while it trains."
