"""The sample explorer without a browser: what is pressed, what follows, and what is said."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from workbench.data import load
from workbench.errors import ConfigError, WorkbenchError
from workbench.fitting import fit
from workbench.runs import Run
from workbench.widgets import explorer
from workbench.widgets import explorer as opening
from workbench.widgets.worker import Worker

SMALL = {"hidden_size": 8, "encoder_layers": 1, "encoder_heads": 2, "heads": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small run of a method with attention and gates on `opinions`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("data")))
        data = load("opinions/synergy", samples=60, valid=24, test=20, align_to="text")
        return fit("mldfa", data, config=SMALL, plan={"epochs": 1}, runs=tmp_path_factory.mktemp("runs")), data


@pytest.fixture
def seen(trained):
    """An open explorer at rest."""
    made = explorer(*trained)
    made.wait()
    assert made.error is None
    yield made
    made.close()


def trace(made, picture, name):
    return next(one for one in made.followers[picture].live.data if one.name == name)


def test_it_opens_with_a_prediction_on_the_sample_that_teaches_most(seen):
    assert seen.row == seen.opened.orders["teaches most"][0]
    assert {"in-text", "in-audio", "in-vision", "states", "worth", "chosen"} <= set(seen.shown)
    assert "moves the prediction" in seen.sentence.value
    assert seen.state.value == "[ Ready ]"
    assert len(seen.selected) == 1
    assert int(seen.selected.index[0]) == seen.row
    assert seen.id in seen.text.value


def test_muting_is_answered_in_the_callback(seen):
    before = float(seen.prediction)
    asked = []
    seen.worker.ask = lambda name, work: asked.append(name)
    seen.mutes["audio"].value = True
    assert float(seen.prediction) == float(seen.opened.subsets.without("audio")[seen.row]) != before
    assert seen.sentence.value.startswith("<b>Muting audio moves the prediction by")
    assert ["open" in symbol for symbol in trace(seen, "states", "states").marker.symbol].count(False) == 1
    seen.unmute()
    assert float(seen.prediction) == before
    assert asked == []


def test_swap_is_one_pass_on_the_worker(seen):
    other = (seen.row + 1) % len(seen.opened)
    seen.swap("audio", other)
    seen.wait()
    assert seen.look.swaps == {"audio": other}
    assert f"Taking audio from sample {other}" in seen.sentence.value
    assert float(seen.prediction) == float(seen.opened.said(seen.row, swaps={"audio": other}))
    seen.swap("none", 0)
    assert seen.look.swaps == {}


def test_next_keeps_what_is_muted_and_all_views_follow(seen):
    seen.mute("vision")
    rows = list(seen.rows)
    seen.buttons["next"].click()
    seen.wait()
    assert seen.row == rows[1]
    assert seen.look.muted == ("vision",)
    assert seen.sample.value == rows[1]
    assert list(trace(seen, "chosen", "chosen").x) == [float(seen.opened.truth(rows[1]))]
    assert seen.id in seen.text.value
    words = [str(word) for word in trace(seen, "in-text", "words").text]
    assert words == seen.opened.data["valid"].texts[rows[1]].split()
    seen.previous()
    assert seen.row == rows[0]


def test_a_filter_goes_to_its_first_sample(seen):
    seen.show.value = "largest error"
    seen.wait()
    target, said = seen.opened.data["valid"].target.numpy(), seen.opened.subsets.whole
    assert seen.row == np.abs(target - said).argmax()
    assert "sarcastic" in seen.show.options
    seen.show.value = "sarcastic"
    assert seen.opened.data["valid"].evidence["sarcasm"][seen.row] == 1
    assert "<b>sarcastic</b>" in seen.text.value


def test_a_number_and_a_dot_choose_too(seen):
    seen.sample.value = 5
    assert seen.row == 5
    seen._dot_pressed(SimpleNamespace(customdata=[3, 9]), SimpleNamespace(point_inds=[1]), None)
    assert seen.row == 9
    seen._dot_pressed(SimpleNamespace(customdata=[3, 9]), SimpleNamespace(point_inds=[]), None)
    assert seen.row == 9


def test_attention_and_attribution_come_on_request_and_are_kept(seen):
    seen.auto_attention.value = seen.auto_attribution.value = False
    seen.wait()
    seen.go((seen.row + 3) % len(seen.opened))
    seen.wait()
    assert "not asked yet" in seen.followers["in-text"].figure.layout.annotations[0].text
    seen.buttons["attribution"].click()
    seen.buttons["attention"].click()
    seen.wait()
    assert np.abs(trace(seen, "in-text", "attribution").y).max() > 0
    assert seen.opened.has_attribution(seen.row)
    assert "map" in seen.shown
    assert seen.opened.attribution(seen.row) is seen.opened.attribution(seen.row)
    seen.map.value = ""
    seen.wait()
    assert "map" not in seen.shown


def test_planted_evidence_is_drawn_with_its_agreement(seen):
    row = next(row for row in range(len(seen.opened)) if "text" in seen.opened.planted(row))
    seen.go(row)
    seen._press_both()
    seen.has_planted.value = True
    seen.wait()
    assert "AUC" in seen.followers["in-text"].figure.layout.meta["caption"]
    # Frames averaged over words are not where the evidence says.
    assert "audio" not in seen.opened.planted(row)


def test_a_pinned_sample_stays_beside_the_next(seen):
    first = seen.row
    seen.pin()
    assert seen.buttons["pin"].description == "Unpin"
    seen.next()
    assert "pinned" in seen.shown
    assert f"valid {first} " in seen.pinned_text.value
    assert list(trace(seen, "chosen", "pinned").x) == [float(seen.opened.truth(first))]
    seen.go(first)
    seen.pin()
    seen.next()
    assert "pinned" not in seen.shown


def test_what_muting_means_can_be_chosen(seen):
    seen.wait()
    row, masked = seen.row, float(seen.opened.said(seen.row, muted=["audio"]))
    seen.treatment.value = "zero"
    seen.wait()
    assert seen.opened.subsets.treatment == "zero"
    assert seen.row == row
    assert float(seen.opened.said(row, muted=["audio"])) != masked


def test_keys_do_what_the_buttons_do(seen):
    first, rows = seen.row, list(seen.rows)
    for key, row in ((".", rows[1]), ("n", rows[2]), (",", rows[1]), ("p", first)):
        seen.keys._hear(seen.keys, {"key": key}, [])
        assert seen.row == row
    muted = []
    for _ in range(4):
        seen.keys._hear(seen.keys, {"key": "m"}, [])
        muted.append(seen.look.muted)
    assert muted == [("text",), ("audio",), ("vision",), ()]
    seen.keys._hear(seen.keys, {"key": "?"}, [])
    assert "next sample" in seen.help_line.value


def test_figures_have_names_for_screen_readers(seen):
    assert set(seen.keys.labels) == {follower.css for follower in seen.shown.values()}
    assert all(len(words) > 10 for words in seen.keys.labels.values())
    assert set(seen.keys.groups) == {"wb-choose", "wb-change", "wb-inside"}


def test_the_test_split_is_locked_and_says_why(trained):
    with pytest.raises(ConfigError, match="the test split is locked\n.*chooses by them"):
        explorer(*trained, split="test")
    made = explorer(*trained, split="test", unlock_test=True)
    made.wait()
    assert made.opened.split == "test"
    made.close()


def test_by_default_test_is_no_choice(seen):
    assert list(seen.split.options) == ["valid", "train"]
    assert "test is locked" in seen.split.tooltip
    seen.split.value = "train"
    seen.wait()
    assert len(seen.opened) == 60


def test_errors_stay_in_the_widget_in_words_and_escaped(trained):
    run, data = trained
    made = explorer(run, data)
    made.wait()
    made.worker.ask("pass", lambda: (_ for _ in ()).throw(WorkbenchError("<b>no</b>", do="this")))
    made.wait()
    assert made.error_box.children[0].value == "&lt;b&gt;no&lt;/b&gt;. Do: this"
    assert made.state.value == "[ Failed ]"
    made.error_box.children[1].click()
    assert made.error_box.children == ()
    made.close()


def test_a_row_that_is_not_there_is_said(trained):
    made = explorer(*trained, sample=999)
    made.wait()
    assert "there is no sample 999 in valid" in made.error_box.children[0].value
    made.close()


def test_runs_are_found_by_path_and_id_and_chosen_from_several(trained):
    run, data = trained
    made = explorer([run.id, run.path], runs=run.path.parent)
    made.wait()
    assert len(made.run.options) == 2
    before = made.opened
    made.run.value = 1
    made.wait()
    assert made.opened is not before
    assert made.error is None
    assert made.opened.data["valid"].texts == data["valid"].texts
    made.close()
    with pytest.raises(WorkbenchError, match="is not a finished run"):
        explorer("nowhere", runs=run.path.parent)
    with pytest.raises(ConfigError, match="got no run"):
        explorer([])


def test_a_second_explorer_ends_the_first_and_no_thread_stays(trained):
    first, second = explorer(*trained), explorer(*trained)
    second.wait()
    second.close()
    deadline = time.monotonic() + 10
    while (first.worker.is_alive or second.worker.is_alive) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [thread for thread in threading.enumerate() if thread.name == "workbench-explorer"]
    assert first.state.value == "[ Closed ]"


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_classes_labels_and_every_kind_of_modality(mixed_maker, tmp_path, task):
    data = mixed_maker(task=task)
    run = fit("lf_dnn", data, config={"hidden_size": 4, "post_size": 4}, plan={"epochs": 1}, runs=tmp_path)
    made = explorer(run, data)
    made.wait()
    assert made.error is None
    assert {"in-text", "in-image", "in-sound", "in-vitals", "states", "worth", "chosen"} <= set(made.shown)
    assert "probability of" in made.sentence.value
    made.mute("image", "sound")
    made._press_both()
    made.output.value = 2
    made.wait()
    assert "probability of third" in made.sentence.value
    assert made.error is None
    figure = made.followers["chosen"].figure
    y, x = (round(np.mean(figure.data[-1][axis][:4])) for axis in ("y", "x"))
    made._cell_pressed(None, SimpleNamespace(xs=[x], ys=[y]), None)
    assert made.show.value.startswith("true ")
    assert made.row in made.rows
    made.close()


def test_of_six_modalities_two_muted_are_asked_on_the_worker(mixed_maker, tmp_path):
    data = mixed_maker(dict.fromkeys("abcdef", "vector"))
    run = fit("lf_dnn", data, config={"hidden_size": 4, "post_size": 4}, plan={"epochs": 1}, runs=tmp_path)
    made = explorer(run, data)
    made.wait()
    made.mute("a", "b")
    made.wait()
    assert made.error is None
    assert "Muting a and b" in made.sentence.value
    made.close()


def test_the_still_picture_needs_no_kernel(trained, monkeypatch):
    shown, said, before = [], [], threading.active_count()
    monkeypatch.setattr("workbench.figures.show", lambda figure: shown.append(figure))
    monkeypatch.setattr("IPython.display.display", lambda *things, **options: said.extend(getattr(thing, "data", "") for thing in things))
    assert explorer(*trained, interactive=False) is None
    assert len(shown) >= 7
    assert all(figure.layout.meta["caption"] for figure in shown)
    assert sum("moves the prediction" in words for words in said) >= 1
    assert any("teaches most" in words for words in said)
    assert threading.active_count() <= before


# The worker


def test_of_two_askings_under_one_name_only_the_newer_is_done():
    gate, done = threading.Event(), []
    worker = Worker(lambda error: done.append(error))
    worker.ask("slow", gate.wait)
    for number in range(5):
        worker.ask("same", lambda number=number: done.append(number))
    gate.set()
    assert worker.settle(5)
    assert done == [4]
    worker.close(5)
    assert not worker.is_alive


def test_what_fails_does_not_end_the_worker():
    failed, done = [], []
    worker = Worker(failed.append)
    worker.ask("one", lambda: 1 / 0)
    worker.ask("two", lambda: done.append("done"))
    assert worker.settle(5)
    assert [type(error) for error in failed] == [ZeroDivisionError]
    assert done == ["done"]
    worker.close(5)


def test_the_module_is_wiring_only():
    text = Path(opening.__code__.co_filename).read_text()
    assert "import torch" not in text
    assert Run is not None
