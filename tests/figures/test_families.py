"""Strategies side by side: table, scatter, growth, robustness, treatments."""

import io
from itertools import product

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures import caption_of, cost_curves, robustness_curves, score_against_cost, strategies_table, treatment_bars
from workbench.figures.captions import alt_of
from workbench.figures.palette import INK


def runs(**found) -> pd.DataFrame:
    """A row a run from name = (family, scores, parameters, seconds, bytes)."""
    columns = ["variant", "family", "seed", "value", "parameters", "seconds", "memory"]
    rows = [(name, family, seed, value, *costs) for name, (family, values, *costs) in found.items() for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=columns)


FRAME = runs(
    raw=("encoder_decoder", [0.80, 0.81, 0.79, 0.80], 500, 0.123, 2e6),
    cross=("attention", [0.90, 0.92, 0.89, 0.91], 90_000, 4.56, 120e6),
    tensor=("constraint", [0.90, 0.91, 0.90, 0.91], 7_000, 1.5, 10e6),
)


def test_the_table_has_family_score_and_costs_and_marks_ties() -> None:
    frame = strategies_table(FRAME, metric="accuracy").frame
    assert frame.loc["cross"].tolist() == ["attention", ".905 ± .013 =", "90,000", "4.6", "120.0"]
    assert frame.loc["raw"].tolist() == ["encoder_decoder", ".800 ± .008", "500", "0.12", "2.0"]
    assert frame.columns.tolist() == ["family", "accuracy ↑ (n = 4)", "parameters", "s/epoch", "memory [MB]"]


def test_the_table_as_a_page_and_as_numbers() -> None:
    table = strategies_table(FRAME, metric="accuracy")
    html = table._repr_html_()
    assert html.count("<strong>") == 2 and "encoder-decoder" in html and "<svg" in html
    assert pd.read_csv(io.StringIO(table.to_csv())).set_index("variant").loc["tensor", "family"] == "constraint"
    cells = table.as_dict()
    assert all(len(row) == len(cells["columns"]) for row in cells["rows"])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (500, 2_000_000, ["1,000", "10,000", "100,000", "1,000,000"]),
        (0.08, 1.2, ["0.1", "0.2", "0.5", "1"]),
        (150_000, 450_000, ["200,000", "300,000", "400,000"]),
    ],
)
def test_costs_have_whole_numbers_on_their_axis(low, high, expected) -> None:
    frame = runs(cheap=("graph", [0.1, 0.2], low * 1.2, 1, 1), dear=("graph", [0.3, 0.4], high / 1.2, 1, 1))
    assert list(score_against_cost(frame).layout.xaxis.ticktext) == expected


def test_costs_that_were_not_measured_are_left_out() -> None:
    assert strategies_table(FRAME.drop(columns=["seconds", "memory"])).frame.columns.tolist() == ["family", "score ↑ (n = 4)", "parameters"]
    with pytest.raises(DataError, match="strategies_table needs the column family"):
        strategies_table(FRAME.drop(columns="family"))


def test_scatter_names_the_best_and_the_cheapest_it_ties_with() -> None:
    figure = score_against_cost(FRAME, metric="accuracy")
    assert alt_of(figure) == (
        "cross has the highest mean accuracy (.905 ± .013) with 90,000 parameters; the cheapest that no other beats is tensor (.905 ± .006) with "
        "7,000 parameters."
    )
    assert {trace.marker.color for trace in figure.data} == {INK}, "hue is for modalities"
    assert len({trace.marker.symbol for trace in figure.data}) == 3
    assert [trace.name for trace in figure.data] == ["encoder-decoder", "attention", "constraint"]
    assert {"raw", "cross", "tensor"} <= {note.text for note in figure.layout.annotations}
    assert "3 strategies." in caption_of(figure)


def test_scatter_tells_whether_cost_and_score_go_together() -> None:
    rising = runs(**{f"s{i}": ("graph", [0.5 + 0.05 * i] * 2, 10**i + 1, 1.0, 1.0) for i in range(6)})
    assert "Over 6 strategies parameters and score go together (rank correlation +1.00, p < .001)." in caption_of(score_against_cost(rising))
    mixed = runs(**{f"s{i}": ("graph", [score] * 2, 10**i + 1, 1.0, 1.0) for i, score in enumerate([0.5, 0.9, 0.6, 0.7])})
    assert "are not found to go together" in caption_of(score_against_cost(mixed))


def test_scatter_of_bytes_is_in_megabytes() -> None:
    figure = score_against_cost(FRAME, cost="memory")
    assert sorted(float(trace.x[0]) for trace in figure.data) == [2.0, 10.0, 120.0]
    assert figure.layout.xaxis.title.text == "memory [MB] (log scale)"
    assert "weights, gradients and Adam's two moments, counted." in caption_of(figure)
    assert "moments" not in caption_of(score_against_cost(FRAME))
    with pytest.raises(DataError, match="rows whose parameters are above zero"):
        score_against_cost(FRAME.assign(parameters=0))


def growing() -> pd.DataFrame:
    """Linear and doubling parameters over 2, 4, 8 modalities."""
    rows = [
        (name, "modalities", x, "parameters", value(x))
        for name, value in {"raw": lambda x: 10 * x, "tensor": lambda x: 2**x}.items()
        for x in (2, 4, 8)
    ]
    return pd.DataFrame([*rows, ("raw", "length", 16, "parameters", 1.0)], columns=["variant", "axis", "x", "quantity", "value"])


def test_growth_is_told_from_first_to_last() -> None:
    # By hand: 80 / 20 = 4; 256 / 4 = 64 = 4^3, so the slope is 3.
    figure = cost_curves(growing(), axis="modalities")
    assert alt_of(figure) == "Parameters from 2 to 8 modalities: tensor 64 times (slope 3.0), raw 4.0 times."
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert {trace.name: list(trace.y) for trace in figure.data} == {"raw": [20, 40, 80], "tensor": [4, 16, 256]}
    assert {"raw", "tensor"} <= {note.text for note in figure.layout.annotations}


def test_growth_of_memory_is_in_megabytes_and_says_what_cannot_be_built() -> None:
    frame = growing().assign(quantity="memory", note="")
    frame["value"] *= 1e6
    frame.loc[(frame["variant"] == "tensor") & (frame["x"] == 8), ["value", "note"]] = [np.nan, "too many blocks"]
    figure = cost_curves(frame, axis="modalities")
    assert list(figure.data[0].y) == [20, 40, 80]
    assert "tensor cannot be built with 8 modalities (too many blocks)." in caption_of(figure)
    assert "Memory of a training step from 2 to 4 modalities: tensor 4.0 times" in caption_of(figure)
    assert "weights, gradients and Adam's two moments, counted." in caption_of(figure)


def test_one_of_several_axes_must_be_named() -> None:
    with pytest.raises(DataError, match="holds the axes modalities, length, and none was named"):
        cost_curves(growing())
    with pytest.raises(DataError, match='"depth" is not among them'):
        cost_curves(growing(), axis="depth")
    assert "one place only" in caption_of(cost_curves(growing(), axis="length"))


LOSS = {"text": 0.2, "audio": 0.1}


def disturbed(**slopes: float) -> pd.DataFrame:
    """Scores that fall from .9 in a straight line, three seeds .01 apart."""
    rows = [
        (variant, seed, name, kind, amount, "accuracy", 0.9 - slope * LOSS[name] * amount + 0.01 * seed)
        for (variant, slope), seed, name, kind, amount in product(slopes.items(), range(3), LOSS, ("missing", "noise"), (0.0, 0.5, 1.0))
    ]
    return pd.DataFrame(rows, columns=["variant", "seed", "modality", "disturbance", "amount", "metric", "value"])


def test_robustness_tells_the_largest_and_the_smallest_worst_loss() -> None:
    figure = robustness_curves(disturbed(weak=2.0, strong=0.5), kind="missing")
    caption = caption_of(figure)
    assert caption.startswith("weak, text disturbed: -.400 (95 % -.400 to -.400, n = 3) at missing 1: the largest loss of accuracy.")
    assert "Least hurt by its worst modality is strong, text disturbed: -.100" in caption
    line = next(trace for trace in figure.data if trace.name == "text")
    assert list(line.x) == [0, 0.5, 1] and list(line.y) == pytest.approx([0.91, 0.71, 0.51])
    assert line.line.color == "#0072B2"
    assert figure.layout.xaxis.title.text == "share of samples without it"
    assert "rate %{x}" in line.hovertemplate


def test_noise_says_its_unit_and_each_modality_its_own_amount() -> None:
    """Text, whose tokens are all unknown at 1, loses .2 there; audio goes on to 4 and loses .4 by then."""
    frame = disturbed(a=1.0).query("disturbance == 'noise'")
    more = frame[(frame["modality"] == "audio") & (frame["amount"] == 1)]
    frame = pd.concat([frame, more.assign(amount=4.0, value=more["value"] - 0.3)])
    figure = robustness_curves(frame)
    assert figure.layout.xaxis.title.text == "amount of noise"
    assert "standard deviations of a feature; of tokens the share that becomes unknown." in caption_of(figure)
    assert alt_of(figure).startswith("a, audio disturbed: -.400") and "at noise 4: the largest loss" in alt_of(figure)
    weaker = robustness_curves(frame.assign(value=frame["value"].where(frame["amount"] < 4, 0.85)))
    assert "a, text disturbed: -.200 (95 % -.200 to -.200, n = 3) at noise 1: the largest loss" in alt_of(weaker)


def test_robustness_of_an_error_that_rises_and_of_a_score_that_does_not_fall() -> None:
    rising = disturbed(a=-1.0).query("disturbance == 'missing'")
    said = alt_of(robustness_curves(rising.assign(metric="mae")))
    assert said == "a, text disturbed: +.200 (95 % +.200 to +.200, n = 3) at missing 1: the largest rise of mae (lower is better)."
    said = caption_of(robustness_curves(rising))
    nearest = "nearest to it is a, audio disturbed: +.100 (95 % +.100 to +.100, n = 3) at missing 1."
    assert said.startswith(f"Nothing is lost: no disturbance makes accuracy worse on average; {nearest}")
    assert "the largest" not in said


def test_robustness_takes_one_kind_and_one_rate() -> None:
    with pytest.raises(DataError, match="holds the kinds missing, noise, none was named"):
        robustness_curves(disturbed(a=1.0))
    with pytest.raises(DataError, match='not "fog"'):
        robustness_curves(disturbed(a=1.0), kind="fog")
    frame = disturbed(a=1.0)
    assert "nothing to compare" in caption_of(robustness_curves(frame[frame["amount"] == 0], kind="noise"))


def treated() -> pd.DataFrame:
    """All there .9; audio missing: .6 with zeros, .8 with its synthesis."""
    values = {("none", "present"): 0.9, ("audio", "zeros"): 0.6, ("audio", "synthesis"): 0.8}
    rows = [("cvae", seed, name, how, float(name != "none"), value + 0.01 * seed) for (name, how), value in values.items() for seed in range(3)]
    return pd.DataFrame(rows, columns=["variant", "seed", "modality", "treatment", "missing_rate", "value"])


def test_treatments_are_compared_by_seed() -> None:
    figure = treatment_bars(treated(), metric="accuracy")
    assert alt_of(figure).startswith("Audio missing: synthesis is .200 above zeros (95 % .200 to .200, n = 3, p < .001).")
    marks = {trace.name: (trace.marker.symbol, trace.marker.color) for trace in figure.data if "mean" not in trace.name}
    assert marks == {
        "none present": ("circle", INK),
        "audio zeros": ("square-open", "#D55E00"),
        "audio synthesis": ("square-open-dot", "#D55E00"),
    }
    assert figure.layout.xaxis.ticktext[0] == "nothing" and "audio" in figure.layout.xaxis.ticktext[1]


def test_treatments_take_the_highest_rate_and_refuse_unknown_ones() -> None:
    low = treated().query("treatment != 'present'").assign(missing_rate=0.5, value=0.0)
    figure = treatment_bars(pd.concat([treated(), low]))
    assert next(list(trace.y) for trace in figure.data if trace.name == "audio zeros") == pytest.approx([0.6, 0.61, 0.62])
    with pytest.raises(DataError, match='does not know the treatment "magic"'):
        treatment_bars(treated().replace("synthesis", "magic"))
    assert "not both there" in caption_of(treatment_bars(treated().query("treatment != 'synthesis'")))


def test_of_many_strategies_the_ones_worth_naming_are_named():
    """Nothing as cheap is better than a, c and i; b is the worst, j the dearest."""
    scores = {
        "a": (10, 0.6),
        "b": (20, 0.4),
        "c": (30, 0.7),
        "d": (40, 0.65),
        "e": (50, 0.6),
        "f": (60, 0.5),
        "g": (70, 0.5),
        "i": (80, 0.9),
        "j": (90, 0.8),
    }
    rows = [{"variant": v, "family": "graph", "seed": seed, "value": y, "parameters": x} for v, (x, y) in scores.items() for seed in (0, 1)]
    figure = score_against_cost(pd.DataFrame(rows), metric="Acc-2")
    assert {note.text for note in figure.layout.annotations if len(note.text) == 1} == {"a", "b", "c", "i", "j"}
    assert "Named: the best at its cost or less" in figure.layout.meta["caption"]
    few = score_against_cost(pd.DataFrame(rows[:16]), metric="Acc-2")
    assert {note.text for note in few.layout.annotations if len(note.text) == 1} == set("abcdefgi")
    lower = score_against_cost(pd.DataFrame(rows), metric="MAE")
    assert {note.text for note in lower.layout.annotations if len(note.text) == 1} == {"a", "b", "i", "j"}
