"""Pictures of a whole sweep: history, luck, and optuna's own in the looks of this house; and what they say where nothing can be drawn."""

import json
from datetime import datetime, timedelta
from itertools import product

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures import caption_of, sweep_end, sweep_history, sweep_importance, sweep_luck, sweep_parallel, sweep_timeline
from workbench.figures.captions import alt_of
from workbench.figures.optuna_views import _duration
from workbench.figures.palette import INK
from workbench.figures.sweep_chance import band_of_equals, luck

optuna = pytest.importorskip("optuna")
optuna.logging.set_verbosity(optuna.logging.ERROR)

START = datetime(2026, 1, 1, 12)


def study(over: dict, value, *, direction: str = "maximize", states: dict | None = None, log: bool = True):
    """A study of a grid; trial n begins 4 n seconds after the first and takes 6 seconds."""
    made = optuna.create_study(direction=direction)
    for number, combination in enumerate(product(*over.values())):
        setting = dict(zip(over, combination, strict=True))
        distributions = {
            key: optuna.distributions.CategoricalDistribution(list(values))
            if isinstance(values[0], str)
            else optuna.distributions.FloatDistribution(min(values), max(values), log=log)
            for key, values in over.items()
        }
        state = optuna.trial.TrialState[(states or {}).get(number, "COMPLETE")]
        has_value = state == optuna.trial.TrialState.COMPLETE
        trial = optuna.trial.create_trial(params=setting, distributions=distributions, value=value(**setting) if has_value else None, state=state)
        trial.datetime_start = START + timedelta(seconds=4 * number)
        trial.datetime_complete = trial.datetime_start + timedelta(seconds=6) if state.is_finished() else None
        made.add_trial(trial)
    return made


OVER = {"hidden_size": [16.0, 64.0, 256.0], "plan.learning_rate": [1e-4, 1e-3, 1e-2]}


def by_hidden(hidden_size: float, **others: float) -> float:
    """Only the first setting matters, but for a thousandth."""
    return 0.6 + 0.1 * np.log2(hidden_size / 16) + 0.001 * np.log10(others["plan.learning_rate"])


def nothing(figure) -> bool:
    return [trace.text for trace in figure.data] == [("nothing to draw",)] and bool(caption_of(figure))


def test_importance_is_the_share_of_the_variance() -> None:
    figure = sweep_importance(study(OVER, by_hidden), metric="accuracy")
    shares = dict(zip(figure.data[0].y, figure.data[0].x, strict=True))
    assert shares["hidden_size"] > 95 and sum(shares.values()) == pytest.approx(100)
    assert alt_of(figure).startswith("Of what single settings explain of accuracy over 9 trials: hidden_size ")
    assert "With fewer than 10 trials read it as a hint." in caption_of(figure)
    assert figure.layout.xaxis.range[1] > max(shares.values()), "room for the number"


def test_importance_is_the_same_twice_and_knows_words_and_constants() -> None:
    over = {"activation": ["relu", "gelu"], "hidden_size": [16.0, 32.0], "dropout": [0.5], "layers": [1.0, 2.0, 3.0]}
    made = study(over, lambda activation, hidden_size, **_: 0.5 + 0.2 * (activation == "relu") + hidden_size / 1000, log=False)
    first, second = sweep_importance(made), sweep_importance(made)
    assert first.data[0].x == second.data[0].x
    assert dict(zip(first.data[0].y, first.data[0].x, strict=True))["activation"] > 90
    assert "fewer than" not in caption_of(first)


@pytest.mark.parametrize("draw", [sweep_importance, sweep_parallel])
def test_what_cannot_be_compared_is_a_sentence(draw) -> None:
    assert nothing(draw(optuna.create_study()))
    assert "0 trials complete, and two or more are compared." in caption_of(draw(optuna.create_study()))
    one = draw(study({"hidden_size": [16.0], "layers": [1.0]}, lambda **_: 0.5))
    assert nothing(one) and "1 trial complete" in caption_of(one)
    single = draw(study({"hidden_size": [16.0, 32.0]}, lambda hidden_size: hidden_size))
    assert nothing(single) and "only hidden_size was varied" in caption_of(single)
    failed = draw(study(OVER, by_hidden, states=dict.fromkeys(range(9), "FAIL")))
    assert nothing(failed)


def test_equal_scores_have_no_importance_but_are_drawn_side_by_side() -> None:
    flat = study(OVER, lambda **_: 0.5)
    assert nothing(sweep_importance(flat)) and alt_of(sweep_importance(flat)) == "No importance: all 9 trials have one score, .500."
    assert {trace.opacity for trace in sweep_parallel(flat).data} == {1.0}


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_better_a_trial_the_stronger_its_line(direction) -> None:
    figure = sweep_parallel(study(OVER, by_hidden, direction=direction), metric="accuracy")
    # Scores stand on the first axis as a share of their range (by optuna).
    strength = [trace.opacity for trace in sorted(figure.data, key=lambda trace: trace.y[0])]
    assert strength == sorted(strength, reverse=direction == "minimize") and min(strength) < 0.2 and max(strength) == 1.0
    assert [trace.opacity for trace in figure.data] == sorted(strength), "strong lines are drawn last"
    assert {trace.line.color for trace in figure.data} == {INK}, "hue is for modalities"
    assert list(figure.layout.xaxis.ticktext) == ["accuracy", "hidden_size", "learning_rate"]
    best = {
        "maximize": "highest accuracy of 9 trials, .998, is at hidden_size 256",
        "minimize": "lowest accuracy of 9 trials, .596, is at hidden_size 16",
    }
    assert best[direction] in alt_of(figure)
    assert f"The best 2 share hidden_size {256 if direction == 'maximize' else 16}." in caption_of(figure)


def test_parallel_axes_are_written_with_what_was_tried() -> None:
    figure = sweep_parallel(study(OVER, by_hidden))
    written = {(note.x, note.text) for note in figure.layout.annotations if note.x > 0}
    assert written == {(1, "16"), (1, "64"), (1, "256"), (2, "0.0001"), (2, "0.001"), (2, "0.01")}
    many = study({"a": [float(i) for i in range(1, 13)], "b": [1.0, 2.0]}, lambda a, b: a + b, log=False)
    assert len([note for note in sweep_parallel(many).layout.annotations if note.x == 1]) < 12


def test_names_from_a_config_are_escaped() -> None:
    made = study({"a": ["<b>x", "y"], "<i>": ["%{x}", "z"]}, lambda a, **_: 0.1 * len(a))
    for draw in (sweep_parallel, sweep_timeline, sweep_importance):
        figure = draw(made)
        figure.layout.meta = None  # the caption is text, and escaped where it is shown
        found = json.loads(figure.to_json())
        drawn = json.dumps({"data": found["data"], "layout": {**found["layout"], "template": None}})
        assert not [part for part in ("<b>x", "<i>", ">%{x}", "'%{x}", " %{x}<") if part in drawn]


def test_the_timeline_is_in_seconds_and_says_how_many_ran_at_once() -> None:
    figure = sweep_timeline(study(OVER, by_hidden, states={2: "PRUNED", 5: "FAIL"}))
    bars = {trace.name: list(zip(trace.y, trace.base, trace.x, strict=True)) for trace in figure.data}
    assert bars["pruned"] == [(2, 8.0, 6.0)] and bars["failed"] == [(5, 20.0, 6.0)]
    assert bars["complete"][0] == (0, 0.0, 6.0) and len(bars["complete"]) == 7
    # By hand: 9 trials of 6 s, the last from 32 s to 38 s: 54 / 38 = 1.4.
    assert alt_of(figure) == "9 trials (7 complete, 1 pruned, 1 failed) in 38 s: 1.4 at once on average."
    assert "The longest, trial 0, took 6 s; the median trial 6 s." in caption_of(figure)
    assert figure.layout.xaxis.title.text == "time since the first trial began [s]"


def test_a_pause_between_two_drivers_is_no_working_time() -> None:
    """Killed after 10 s and started again at 1 h: two trials overlap before (0 to 6 s, 4 to 10 s), one runs behind (10 s of 3610 s are not)."""
    made = study({"a": [1.0, 2.0]}, lambda a: a)
    late = optuna.trial.create_trial(params={}, distributions={}, value=1.0)
    late.datetime_start, late.datetime_complete = START + timedelta(hours=1), START + timedelta(hours=1, seconds=10)
    made.add_trial(late)
    waiting = optuna.trial.create_trial(state=optuna.trial.TrialState.WAITING)
    made.add_trial(waiting)
    # By hand: 6 + 6 + 10 = 22 s of work in 20 s; 3590 s without any.
    expected = "4 trials (3 complete, 1 waiting) in 1 h 0 min, in 59 min 50 s of which none of them ran: 1.1 at once on average while any ran."
    assert alt_of(sweep_timeline(made)) == expected


def test_the_timeline_of_nothing_and_of_a_running_trial() -> None:
    assert nothing(sweep_timeline(optuna.create_study()))
    running = study({"a": [1.0]}, lambda a: a, states={0: "RUNNING"})
    assert "1 trial (1 running)" in alt_of(sweep_timeline(running)) and "none has ended" in alt_of(sweep_timeline(running))


def test_long_sweeps_are_in_minutes() -> None:
    made = study({"a": [float(i) for i in range(100)]}, lambda a: a, log=False)
    figure = sweep_timeline(made)
    assert figure.layout.xaxis.title.text.endswith("[min]") and figure.data[0].x[0] == pytest.approx(0.1)
    assert "in 6 min 42 s" in alt_of(figure)


@pytest.mark.parametrize(("seconds", "expected"), [(0.42, "0.42 s"), (6, "6 s"), (59.9, "60 s"), (125, "2 min 5 s"), (3840, "1 h 4 min")])
def test_durations(seconds, expected) -> None:
    assert _duration(seconds) == expected


def trials(**columns) -> pd.DataFrame:
    """Five trials: .7, .8, failed, pruned at .6, .75."""
    table = {
        "trial": [0, 1, 2, 3, 4],
        "state": ["complete", "complete", "failed", "pruned", "complete"],
        "hidden_size": [16, 32, 64, 128, 256],
        "value": [0.7, 0.8, np.nan, 0.6, 0.75],
        "sd": [0.01, 0.02, np.nan, np.nan, np.nan],
    }
    return pd.DataFrame(table | columns)


def test_history_is_the_best_so_far_and_marks_how_trials_ended() -> None:
    figure = sweep_history(trials(), metric="accuracy")
    drawn = {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}
    assert drawn["best so far"] == ([0, 1, 4, 4], [0.7, 0.8, 0.8, 0.8])
    assert drawn["complete"] == ([0, 1, 4], [0.7, 0.8, 0.75])
    assert drawn["pruned"] == ([3], [0.6])
    assert drawn["failed"][0] == [2] and drawn["failed"][1][0] < 0.6, "at the bottom"
    assert alt_of(figure) == (
        "The highest accuracy, .800, came with trial 1 of 5 (3 complete, 1 pruned, 1 failed); 1 complete trial after it brought nothing better."
    )
    assert "never falls" in caption_of(figure) and "stand at the bottom" in caption_of(figure)
    assert list(next(trace for trace in figure.data if trace.name == "complete").error_y.array) == [0.01, 0.02, 0.0]
    assert "hidden_size 32" in next(trace for trace in figure.data if trace.name == "complete").text[1]


def test_pruned_trials_far_off_do_not_squash_the_others() -> None:
    figure = sweep_history(trials(value=[0.7, 0.8, np.nan, 0.1, 0.75]))
    pruned = next(trace for trace in figure.data if trace.name == "pruned")
    low, high = figure.layout.yaxis.range
    assert low < pruned.y[0] < 0.69 and high - low < 0.35
    assert "Pruned ones that are further off stand at the edge." in caption_of(figure)
    assert "edge" not in caption_of(sweep_history(trials()))


def test_history_of_an_error_falls() -> None:
    figure = sweep_history(trials(), metric="mae")
    assert list(figure.data[0].y) == [0.7, 0.7, 0.7, 0.7]
    assert alt_of(figure).startswith("The lowest mae, .700, came with trial 0") and "never rises" in caption_of(figure)


def test_history_without_a_score_says_why() -> None:
    figure = sweep_history(trials(state=["failed"] * 5, value=[np.nan] * 5))
    assert nothing(figure) and alt_of(figure) == "No trial is complete: 5 failed."
    assert alt_of(sweep_history(trials().iloc[:0])) == "No trial is complete: no trial at all."
    with pytest.raises(DataError, match="sweep_history needs the column state"):
        sweep_history(trials().drop(columns="state"))


def table_of(values: np.ndarray, metric: str = "accuracy") -> pd.DataFrame:
    rows = [
        {"trial": t, "hidden_size": 16 * 2**t, "seed": s, "split": "valid", "metric": metric, "value": values[t, s]}
        for t, s in np.ndindex(values.shape)
    ]
    return pd.DataFrame(rows)


def test_luck_is_two_way_analysis_of_variance() -> None:
    # By hand: setting means .5, .7; seed means .55, .65; whole .6; rest ±.01 each.
    values = np.array([[0.46, 0.54], [0.64, 0.76]])
    found = luck(values)
    squares = {"settings": 2 * 2 * 0.1**2, "seeds": 2 * 2 * 0.05**2, "rest": 4 * 0.01**2}
    total = sum(squares.values())
    assert {name: found[name] for name in squares} == pytest.approx({name: part / total for name, part in squares.items()})
    assert found["error"] == pytest.approx((4 * 0.01**2 / 1 / 2) ** 0.5)
    assert luck(np.full((3, 2), 0.5)) == {"settings": 0.0, "seeds": 0.0, "rest": 0.0, "error": 0.0}


def test_the_best_of_equal_settings_stands_above_their_mean() -> None:
    # The expected largest of 5 standard normals is 1.163, of 2 it is .564.
    for count, largest in ((2, 0.564), (5, 1.163)):
        band = band_of_equals(count, 0.01)
        assert band[1, -1] == pytest.approx(0.01 * largest, rel=0.06)
        assert (np.diff(band, axis=0) > 0).all() and band[1] == pytest.approx(-band[1, ::-1], abs=5e-4)


def test_luck_tells_equal_settings_from_others() -> None:
    noise = np.random.default_rng(3).normal(size=(8, 4)) * 0.01
    equal = sweep_luck(table_of(0.7 + noise))
    assert "no more than luck explains" in alt_of(equal)
    apart = table_of(0.7 + noise + 0.02 * np.arange(8)[:, None])
    figure = sweep_luck(apart)
    assert ": more than luck explains" in alt_of(figure) and "The best of 8 settings is .0" in alt_of(figure)
    means = next(trace for trace in figure.data if trace.name == "mean")
    assert list(means.y) == sorted(means.y) and means.text[-1] == "hidden_size 2048"


def test_luck_of_an_error_counts_downward() -> None:
    noise = np.random.default_rng(3).normal(size=(8, 4)) * 0.01
    figure = sweep_luck(table_of(0.7 + noise + 0.02 * np.arange(8)[:, None], metric="mae"))
    means = next(trace for trace in figure.data if trace.name == "mean")
    assert list(means.y) == sorted(means.y, reverse=True) and means.text[-1] == "hidden_size 16"
    assert "below their mean" in alt_of(figure) and ": more than luck explains" in alt_of(figure)
    band = next(trace for trace in figure.data if trace.name == "equal settings")
    assert max(band.y[:8]) == band.y[0], "the worst of equal settings has the largest error"


def test_luck_needs_two_settings_and_two_seeds() -> None:
    values = np.array([[0.5, 0.6], [0.6, 0.7]])
    assert alt_of(sweep_luck(table_of(values[:1]))) == "Luck cannot be told from merit with 1 setting: two or more are needed."
    assert nothing(sweep_luck(table_of(values[:, :1]))) and "with 1 seed" in alt_of(sweep_luck(table_of(values[:, :1])))
    three = table_of(np.array([[0.5, 0.6], [0.6, 0.7], [0.7, 0.9]])).iloc[:-1]
    assert "1 trial without all seeds left out." in caption_of(sweep_luck(three))


def test_the_worst_of_settings_that_is_further_off_than_luck_is_named() -> None:
    noise = np.random.default_rng(3).normal(size=(8, 4)) * 0.01
    values = 0.7 + noise
    values[0] -= 0.2
    figure = sweep_luck(table_of(values))
    assert "The worst is further off than luck explains." in caption_of(figure)
    assert "further off" not in caption_of(sweep_luck(table_of(0.7 + noise)))
    assert "further off" in caption_of(sweep_luck(table_of(-values, metric="mae")))


def ends(**found: list[float]) -> pd.DataFrame:
    """Scores by variant and split, written chosen_valid=[...]."""
    rows = [(*name.split("_"), seed, value) for name, values in found.items() for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["variant", "split", "seed", "value"])


END = ends(chosen_valid=[0.80, 0.82, 0.84], chosen_test=[0.76, 0.77, 0.81], base_valid=[0.75, 0.76, 0.80], base_test=[0.75, 0.77, 0.80])


def test_the_end_says_what_is_left_of_the_gain_on_test() -> None:
    figure = sweep_end(END, metric="accuracy")
    # By hand: gains on test .01, .00, .01; on valid .05, .06, .04; what is lost .04, .06, .03: mean .0433.
    said = caption_of(figure)
    assert alt_of(figure).startswith("On test the chosen setting has accuracy .78 ± .03, the base .77 ± .03: no difference found, +.007")
    assert "On valid, by which it was chosen: .82 ± .02 and .77 ± .03, +.050 (95 % +.025 to +.075, n = 3, p = .01)." in said
    assert "Optimism of selection (what the gain on valid is larger than that on test): +.043 (95 % +.005 to +.081, n = 3, p = .04)." in said
    lines = {trace.name: list(trace.y) for trace in figure.data if trace.mode == "lines+markers"}
    assert lines == {"chosen": pytest.approx([0.82, 0.78]), "base": pytest.approx([0.77, 0.7733], abs=1e-4)}
    assert {"chosen", "base"} <= {note.text for note in figure.layout.annotations}
    assert next(trace for trace in figure.data if trace.name == "chosen").line.color == INK


def test_the_end_of_an_error_counts_what_is_lost_upward() -> None:
    """The same numbers as errors, turned round: the loss of gain is as large."""
    figure = sweep_end(END.assign(value=1 - END["value"]), metric="mae")
    assert "+.043 (95 % +.005 to +.081, n = 3, p = .04)." in caption_of(figure)


def test_the_end_where_the_base_was_chosen() -> None:
    same = pd.concat([END[END["variant"] == "chosen"], END[END["variant"] == "chosen"].assign(variant="base")])
    said = alt_of(sweep_end(same, metric="accuracy"))
    assert said == "The chosen and the base setting have the same scores: accuracy .82 ± .02 on valid, .78 ± .03 on test."


def test_the_end_with_one_variant_and_without_values() -> None:
    assert alt_of(sweep_end(END[END["variant"] == "chosen"])) == "Chosen: score .82 ± .02 on valid, .78 ± .03 on test."
    with pytest.raises(DataError, match="sweep_end got a table without a single value"):
        sweep_end(END.iloc[:0])
