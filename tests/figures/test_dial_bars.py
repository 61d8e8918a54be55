"""The dial's picture: data, names, and sentences that are true also where the opposite is."""

from typing import Any

import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures import caption_of, outcome_bars
from workbench.figures.captions import alt_of
from workbench.figures.dial_bars import BLANK, CHANCE, OLD, Place, outcome_frame, outcome_panel, say_outcome
from workbench.figures.palette import INK

CEILING = {"text": 0.85, "audio": 0.9, "vision": 0.66, "all": 0.96}
JOINT = ["joint", "joint + B-fusion"]


def table(**columns: list[float]) -> pd.DataFrame:
    """Scores: a modality's name, `joint` or `balanced`, and its values by seed."""
    names = {"joint": ("joint", "joint"), "balanced": ("joint + B-fusion", "joint")}
    rows = []
    for name, values in columns.items():
        variant, kind = names.get(name, (f"{name} alone", "alone"))
        rows += [{"variant": variant, "label": name, "kind": kind, "seed": seed, "value": value} for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["variant", "label", "kind", "seed", "value"])


STARVED = table(text=[0.80, 0.81, 0.79], audio=[0.90, 0.91, 0.89], joint=[0.81, 0.82, 0.80], balanced=[0.93, 0.95, 0.94])
NOTHING = table()


def named(figure: Any, name: str) -> Any:
    return next(trace for trace in figure.data if trace.name == name)


def sentences(scores: pd.DataFrame, **changes: Any) -> str:
    return " ".join(say_outcome(Place(CEILING, scores, **changes), JOINT))


# The picture


def test_bars_are_means_above_chance_and_dots_are_seeds() -> None:
    figure = outcome_bars(STARVED, ceiling=CEILING, metric="accuracy")
    bar = named(figure, "audio")
    assert (bar.base[0], bar.y[0]) == (CHANCE, pytest.approx(0.4))
    assert list(named(figure, "audio, seeds").y) == [0.90, 0.91, 0.89]
    # By hand: the sample standard deviation of .80, .81, .79 is .01.
    assert named(figure, "text, spread").error_y.array[0] == pytest.approx(0.01)
    assert named(figure, "joint").marker.color == INK and bar.marker.color == "#D55E00"
    assert figure.layout.yaxis.title.text == "accuracy, test"
    assert (figure.layout.yaxis.tickvals[0], figure.layout.yaxis.ticktext[0]) == (CHANCE, "chance")
    assert figure.layout.xaxis.ticktext[:3] == ("● text<br>alone", "■ audio<br>alone", "▲ vision<br>alone")


def test_ceilings_stand_over_their_columns_and_all_over_everything() -> None:
    figure = outcome_bars(STARVED, ceiling=CEILING)
    assert list(named(figure, "ceiling of audio").y) == [0.9, 0.9]
    assert list(named(figure, "ceiling of audio").x) == [pytest.approx(0.58), pytest.approx(1.42)]
    assert list(named(figure, "ceiling of all").y) == [0.96, 0.96]
    assert named(figure, "ceiling words").text == ("ceiling of all .960",)
    assert named(figure, "ceilings in words").text[:3] == ("ceiling .850", "ceiling .900", "ceiling .660")


def test_a_guess_is_an_outline_with_its_gap() -> None:
    figure = outcome_bars(STARVED, ceiling=CEILING, guess=0.9)
    assert list(named(figure, "guess").y) == [CHANCE, 0.9, 0.9, CHANCE]
    assert list(named(figure, "gap").y) == [0.9, pytest.approx(0.81)]
    assert "joint: -.090" in named(figure, "remarks").text
    assert "your guess" in figure.layout.xaxis.ticktext
    assert "your guess" not in outcome_bars(STARVED, ceiling=CEILING).layout.xaxis.ticktext


def test_hidden_joint_models_are_not_in_the_picture_at_all() -> None:
    traces, _ = outcome_frame(Place(CEILING, STARVED, guess=0.7, is_hidden=True, waiting={"joint": "press Reveal"}), JOINT)
    assert traces["joint"] == {"y": [0.0]} and traces["joint, seeds"]["y"] == [None]
    assert traces["gap"]["y"] == [None]
    assert traces["scores in words"]["text"] == [".800 ± .010", ".900 ± .010", BLANK, ".70", "press Reveal", BLANK]


def test_what_was_trained_for_other_dials_is_grey_and_says_so() -> None:
    traces, said = outcome_frame(Place(CEILING, table(joint=[0.7]), STARVED, guess=0.7), JOINT)
    assert traces["joint"]["marker"]["color"] == INK and traces["joint + B-fusion"]["marker"]["color"] == OLD
    assert traces["text"]["marker"]["color"] == OLD and traces["vision"] == {"y": [0.0]}
    assert traces["remarks"]["text"] == ["old dials", "old dials", BLANK, "joint: +.000", BLANK, "old dials"]
    # Nothing is said of the old ones.
    assert "B-fusion" not in " ".join(said) and "alone (" not in " ".join(said)


def test_a_frame_fills_every_trace_of_the_panel_that_changes() -> None:
    panel = outcome_panel(list(CEILING)[:3], JOINT, metric="accuracy")
    traces, _ = outcome_frame(Place(CEILING, STARVED, guess=0.7), JOINT)
    assert {trace.name for trace in panel.data} - {"chance"} == set(traces)


# The sentences, and their opposites


def test_starved_is_said_with_numbers() -> None:
    said = sentences(STARVED, guess=0.9)
    assert said.startswith("Audio alone could reach .900 and all together .960; the joint model gets .810 ± .010 (3 seeds), .150 below that ceiling.")
    assert "The joint model is .090 below audio alone (.900 ± .010)" in said
    # By hand: paired differences .12, .13, .14; mean .13, sd .01, t(2) = 4.303, half-width .0248.
    assert "Joint + B-fusion (.940 ± .010) is .130 above joint (95 % .105 to .155, n = 3, p = .002)." in said
    assert said.endswith("You guessed .90: it got .090 less.")


def test_the_opposite_is_said_as_plainly() -> None:
    said = sentences(table(audio=[0.80, 0.81, 0.79], joint=[0.965, 0.975, 0.970], balanced=[0.90, 0.91, 0.908]), guess=0.9)
    assert ".970 ± .005 (3 seeds), .010 above that ceiling" in said
    assert "The joint model is .170 above audio alone (.800 ± .010)" in said
    assert "Joint + B-fusion (.906 ± .005) is .064 below joint" in said
    assert said.endswith("it got .070 more.")


def test_a_tie_is_a_tie() -> None:
    said = sentences(table(audio=[0.80, 0.82, 0.81], joint=[0.81, 0.81, 0.80], balanced=[0.80, 0.83, 0.81]))
    assert "The joint model against audio alone (.810 ± .010): no difference found" in said
    assert "Joint + B-fusion (.813 ± .015) against joint: no difference found" in said
    assert "above joint" not in said and "You guessed" not in said


def test_one_seed_has_no_interval() -> None:
    said = sentences(table(text=[0.80], audio=[0.777], joint=[0.80], balanced=[0.9]), guess=0.8)
    assert "the joint model gets .800 (1 seed)" in said
    assert "The joint model is as high as text alone (.800) (one seed: no interval)." in said
    assert "Joint + B-fusion (.900) is .100 above joint (one seed: no interval)." in said
    assert said.endswith("Your guess, .80, is what it got.")


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ({"is_hidden": True}, "How high will the joint model get?"),
        ({"waiting": {"joint": "epoch 3"}}, "The joint model is being trained."),
        ({"old": STARVED}, "Nothing is trained for these dials yet: the grey bars are for the old dials."),
        ({}, "Nothing is trained for these dials yet."),
    ],
)
def test_before_there_is_an_answer_nothing_is_claimed(changes: dict[str, Any], last: str) -> None:
    assert sentences(NOTHING, guess=0.7, **changes) == f"Audio alone could reach .900 and all together .960. {last}"
    assert "gets" not in sentences(STARVED, is_hidden=True)


def test_the_finding_is_the_alternative_text() -> None:
    figure = outcome_bars(STARVED, ceiling=CEILING, metric="accuracy")
    assert alt_of(figure).startswith("Audio alone could reach .900")
    assert caption_of(figure).endswith("the numbers stand below. accuracy, test.")


def test_a_table_without_values_or_columns_is_refused() -> None:
    with pytest.raises(DataError, match="without a single value"):
        outcome_bars(NOTHING.astype({"value": float}), ceiling=CEILING)
    with pytest.raises(DataError, match="needs the column kind"):
        outcome_bars(STARVED.drop(columns="kind"), ceiling=CEILING)
