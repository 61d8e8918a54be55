"""The score over one setting and over pairs: what is drawn, which rows are compared, what the captions dare to say."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from workbench.errors import ConfigError, DataError
from workbench.figures import caption_of, sweep_lines, sweep_pairs
from workbench.figures import settings as of
from workbench.figures.captions import alt_of
from workbench.figures.palette import INK, PAPER, QUIET


def scores(over: dict, value, *, seeds=3, metric="accuracy", split="valid") -> pd.DataFrame:
    """A full grid; value(seed, **settings) is the score."""
    rows = []
    for trial, combination in enumerate(product(*over.values())):
        chosen = dict(zip(over, combination, strict=True))
        named = {key.rpartition(".")[2]: one for key, one in chosen.items()}
        rows += [{"trial": trial, **chosen, "seed": s, "split": split, "metric": metric, "value": value(s, **named)} for s in range(seeds)]
    return pd.DataFrame(rows)


NOISE = [0.0, 0.01, -0.01, 0.005]
"""What the seeds share."""


def up_and_down(seed: int, hidden_size: int) -> float:
    """.70, .80, .80, .60, plus the seed's share, plus at 64 a little that changes sign from seed to seed."""
    wobble = {64: [0.002, -0.002, 0.001][seed]}.get(hidden_size, 0.0)
    return {16: 0.7, 32: 0.8, 64: 0.8, 128: 0.6}[hidden_size] + NOISE[seed] + wobble + 0.0005 * seed * (hidden_size == 128)


HIDDEN = scores({"hidden_size": [16, 32, 64, 128]}, up_and_down)


def marks(figure, panel=0) -> dict[float, str]:
    """The fill of each mean's mark by its place."""
    drawn = figure.axes[panel].collections[-1]
    fills = [
        "filled" if tuple(np.round(color[:3], 3)) == tuple(np.round(np.array([0x1A] * 3) / 255, 3)) else "hollow" for color in drawn.get_facecolors()
    ]
    return dict(zip([float(x) for x, _ in drawn.get_offsets()], fills, strict=True))


def mean_line(figure, panel=0):
    """The thick line."""
    return max(figure.axes[panel].lines, key=lambda line: line.get_linewidth())


def test_the_line_goes_through_the_means_and_the_bars_are_students_t() -> None:
    figure = sweep_lines(HIDDEN, over="hidden_size")
    axes, line = figure.axes[0], mean_line(figure)
    assert list(line.get_xdata()) == pytest.approx([16, 32, 64, 128])
    assert list(line.get_ydata()) == pytest.approx([0.7, 0.8, 0.8 + 0.001 / 3, 0.6005])
    # By hand: seeds .70, .71, .69 have sd .01; t(2, .975) = 4.3027; half = 4.3027 * .01 / sqrt 3.
    bar = next(c for c in axes.collections if len(getattr(c, "get_segments", list)()) == 4).get_segments()[0]
    assert sorted(float(y) for _, y in bar) == pytest.approx([0.7 - 0.024841, 0.7 + 0.024841], abs=1e-5)
    thin = [found for found in axes.lines if found.get_color() == QUIET and len(found.get_xdata()) == 4 and found.get_linestyle() == "-"]
    assert sorted(float(found.get_ydata()[0]) for found in thin) == pytest.approx([0.69, 0.70, 0.71])


def test_marks_are_filled_where_the_best_is_not_told_apart() -> None:
    # 32 against 64: -.002, +.002, -.001 (no difference); against 16 and 128 the seeds differ by a thousandth at most.
    figure = sweep_lines(HIDDEN, over="hidden_size")
    assert marks(figure) == {16: "hollow", 32: "filled", 64: "filled", 128: "hollow"}
    assert alt_of(figure) == "The highest mean accuracy on valid is at hidden_size 64 (.800 ± .009, n = 3), not told apart from 32."
    assert (
        "Against 32: no difference found, +.000 (95 % -.005 to +.006, n = 3); against 128: +.200 (95 % +.194 to +.205, n = 3, p < .001)."
        in caption_of(figure)
    )
    assert "end of what was tried" not in caption_of(figure)


def test_the_base_is_marked_and_compared() -> None:
    figure = sweep_lines(HIDDEN, over="hidden_size", base=16)
    assert "Against the base value, 16: +.100 (95 % +.095 to +.106, n = 3, p < .001)." in caption_of(figure)
    assert "Dashed: base value." in caption_of(figure)
    assert [text.get_text() for text in figure.axes[0].texts] == ["base 16"]
    assert [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "--"] == [16]
    assert "That is the published value." in caption_of(sweep_lines(HIDDEN, over="hidden_size", base=64, base_name="published"))
    assert "The base value, 256, was not tried." in caption_of(sweep_lines(HIDDEN, over="hidden_size", base=256))
    assert "ashed" not in caption_of(sweep_lines(HIDDEN, over="hidden_size"))


def test_lower_is_better_for_errors_and_where_it_is_said() -> None:
    assert "The lowest mean mae on valid is at hidden_size 128" in alt_of(sweep_lines(HIDDEN.assign(metric="mae"), over="hidden_size"))
    figure = sweep_lines(HIDDEN, over="hidden_size", is_lower_better=True)
    assert alt_of(figure).startswith("The lowest mean accuracy on valid is at hidden_size 128")
    assert "and it beats every other value." in alt_of(figure)
    assert "It stands at the upper end of what was tried." in caption_of(figure)


def test_equal_values_one_value_and_one_seed_are_no_findings() -> None:
    flat = scores({"hidden_size": [16, 32]}, lambda seed, hidden_size: 0.5)
    assert alt_of(sweep_lines(flat, over="hidden_size")) == "Accuracy on valid is the same at all 2 values of hidden_size (.500 ± .000, n = 3)."
    one = sweep_lines(HIDDEN[HIDDEN["hidden_size"] == 16], over="hidden_size", base=16)
    assert alt_of(one) == "Hidden_size was tried with one value, 16: accuracy on valid .700 ± .010, n = 3."
    single = sweep_lines(HIDDEN[HIDDEN["seed"] == 0], over="hidden_size")
    assert alt_of(single).endswith("one seed: it cannot be told from luck.")
    assert "interval" not in caption_of(single) and "One seed." in caption_of(single)


def grid_value(seed: int, hidden_size: int, batch_size: int) -> float:
    return 0.5 + 0.1 * (hidden_size == 32) + 0.2 * (batch_size == 64) + NOISE[seed]


GRID = scores({"hidden_size": [16, 32], "plan.batch_size": [32, 64]}, grid_value)


def test_over_a_grid_the_line_is_the_mean_over_the_other_settings() -> None:
    figure = sweep_lines(GRID, over="hidden_size")
    assert list(mean_line(figure).get_ydata()) == pytest.approx([0.6, 0.7])
    assert "Means over the 2 combinations of batch_size." in caption_of(figure)


def test_one_at_a_time_the_line_stays_at_the_base() -> None:
    """(16, 32), (32, 32), (16, 64): batch_size 64 was tried with hidden_size 16 only."""
    cross = GRID[(GRID["hidden_size"] == 16) | (GRID["plan.batch_size"] == 32)]
    figure = sweep_lines(cross, over="hidden_size")
    assert list(mean_line(figure).get_ydata()) == pytest.approx([0.5, 0.6])
    assert "With batch_size 32." in caption_of(figure)
    figure = sweep_lines(cross, over="plan.batch_size")
    assert list(mean_line(figure).get_ydata()) == pytest.approx([0.5, 0.7])
    assert figure.axes[0].get_xlabel() == "batch_size" and "With hidden_size 16." in caption_of(figure)


def test_without_a_shared_combination_the_fullest_one_is_taken() -> None:
    """batch_size 32 has 16 and 32, batch_size 64 has 64: no combination holds all three values."""
    wide = scores({"hidden_size": [16, 32, 64], "plan.batch_size": [32, 64]}, lambda seed, hidden_size, batch_size: hidden_size / 100 + NOISE[seed])
    part = wide[(wide["plan.batch_size"] == 32) == (wide["hidden_size"] < 64)]
    figure = sweep_lines(part, over="hidden_size")
    assert list(mean_line(figure).get_xdata()) == pytest.approx([16, 32])


def test_a_seed_that_lacks_one_combination_has_no_mean() -> None:
    lost = GRID[~((GRID["hidden_size"] == 32) & (GRID["plan.batch_size"] == 64) & (GRID["seed"] == 2))]
    # Without the rule seed 2's mean at 32 would be .59 (batch_size 32 alone) instead of .69.
    assert list(mean_line(sweep_lines(lost, over="hidden_size")).get_ydata()) == pytest.approx([0.6, 0.705])


def random_search(slope: float) -> pd.DataFrame:
    """Twelve trials, no two with a setting in common."""
    rates = 10 ** np.linspace(-4, -2, 13)
    rows = [(t, rate, t * 0.03, s, slope * t + NOISE[s]) for t, rate in enumerate(rates) for s in range(2)]
    return pd.DataFrame(rows, columns=["trial", "plan.learning_rate", "dropout", "seed", "value"])


def test_a_random_search_is_dots_with_a_rank_correlation() -> None:
    figure = sweep_lines(random_search(0.01), over="plan.learning_rate", base=1e-3)
    assert alt_of(figure) == (
        # By hand: trials 0-4, 5-8, 9-12 have mean .02, .065, .105, plus the seeds' mean .005.
        "The lower, middle and upper third of 13 trials by learning_rate have mean score .025, .070, .110: they differ (Kruskal-Wallis, p = .005)."
    )
    assert "so no line joins them" in caption_of(figure)
    dots = figure.axes[0].collections[0].get_offsets()
    assert len(dots) == 13 and float(dots[12][1]) == pytest.approx(0.12 + 0.005)
    assert figure.axes[0].get_xscale() == "log"


def test_a_hump_is_seen_and_words_have_no_thirds() -> None:
    hump = random_search(0.0)
    hump["value"] -= (hump["trial"] - 6).abs() * 0.01
    assert "they differ" in alt_of(sweep_lines(hump, over="plan.learning_rate"))
    words = random_search(0.01).assign(activation=lambda frame: frame["trial"].map(lambda trial: f"a{trial}"))
    assert alt_of(sweep_lines(words, over="activation")) == "Activation and score over 13 trials."


def test_several_metrics_are_panels_and_must_be_named() -> None:
    both = pd.concat([HIDDEN, HIDDEN.assign(metric="mae")])
    figure = sweep_lines(both, over="hidden_size", metric=["accuracy", "mae"])
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy on valid", "mae on valid"]
    assert "The lowest mean mae on valid is at hidden_size 128" in caption_of(figure)
    assert caption_of(figure).count("Thin: single seeds.") == 1
    with pytest.raises(DataError, match="holds 2 metrics and none was named"):
        sweep_lines(both, over="hidden_size")


def test_valid_is_drawn_not_test() -> None:
    both = pd.concat([HIDDEN.assign(split="test", value=0.0), HIDDEN])
    assert list(mean_line(sweep_lines(both, over="hidden_size")).get_ydata()) == pytest.approx([0.7, 0.8, 0.8 + 0.001 / 3, 0.6005])


def test_unknown_settings_and_missing_columns_are_refused() -> None:
    with pytest.raises(ConfigError, match="hidden_siz"):
        sweep_lines(HIDDEN, over="hidden_siz")
    with pytest.raises(DataError, match="sweep_lines needs the column seed"):
        sweep_lines(HIDDEN.drop(columns="seed"), over="hidden_size")


def test_long_bars_of_two_seeds_are_cut_and_said_to_be() -> None:
    two = HIDDEN[HIDDEN["seed"] < 2].copy()
    two.loc[(two["hidden_size"] == 16) & (two["seed"] == 1), "value"] = 0.9
    figure = sweep_lines(two, over="hidden_size")
    low, high = figure.axes[0].get_ylim()
    assert "Longer bars are cut" in caption_of(figure)
    assert low < 0.6 and high < 1.3  # the bar alone: .8 ± 12.7 * .1
    assert "cut" not in caption_of(sweep_lines(HIDDEN, over="hidden_size"))


def test_values_that_stand_close_have_round_ticks_instead() -> None:
    drawn = [1e-4, 1.1e-4, 9e-4, 4e-3]
    close = scores({"plan.learning_rate": drawn}, lambda seed, learning_rate: 0.5 + learning_rate + NOISE[seed])
    figure = sweep_lines(close, over="plan.learning_rate")
    figure.canvas.draw()
    low, high = figure.axes[0].get_xlim()
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels() if low <= label.get_position()[0] <= high]
    assert ticks == ["0.0001", "0.0002", "0.0005", "0.001", "0.002", "0.005"]
    far = sweep_lines(close[close["plan.learning_rate"] != 1.1e-4], over="plan.learning_rate")
    assert [label.get_text() for label in far.axes[0].get_xticklabels()] == ["0.0001", "0.0009", "0.004"]


def test_pairs_of_a_short_random_search_are_marks_and_a_grid_of_one_row_is_not() -> None:
    few = random_search(0.01).query("trial < 5")
    assert sweep_pairs(few, x="dropout", y="plan.learning_rate").data[0].type == "scatter"
    row = scores({"a": [1, 2, 3, 4], "b": [1]}, lambda seed, a, b: 0.1 * a + NOISE[seed])
    assert sweep_pairs(row, x="a", y="b").data[0].type == "heatmap"


def test_words_and_none_stand_in_their_order() -> None:
    words = scores({"activation": ["relu", None, "c$o$st"]}, lambda seed, activation: 0.5 + 0.1 * (activation == "relu") + NOISE[seed])
    figure = sweep_lines(words, over="activation", base=None)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["relu", "none", "c$o$st"]
    assert "Against the base value, none: +.100" in caption_of(figure)
    assert "Against c$o$st: +.100" in caption_of(figure)  # the next best, not a neighbour
    assert "end of what" not in caption_of(figure)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([16, 32, 64], True),
        ([3e-4, 1e-3, 3e-3], True),
        ([16, 128], True),
        ([16, 32], False),
        ([0.1, 0.2, 0.3], False),
        ([0, 1, 10], False),
        ([8, 16, 24, 32], False),
        (["a", "b"], False),
        ([True, False], False),
        ([None, 1, 10], False),
    ],
)
def test_what_grows_by_factors_gets_a_log_axis(values, expected) -> None:
    assert of.is_log(values) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3e-4, "0.0003"), (64, "64"), (1e-5, "1e-05"), (None, "none"), (float("nan"), "none"), (True, "True"), ((1, 2), "(1, 2)")],
)
def test_values_in_words(value, expected) -> None:
    assert of.said(value) == expected


@pytest.mark.parametrize(("t", "beaten"), [(5.6, set()), (7.2, set()), (7.7, {"b", "c"})])
def test_holm_is_over_all_pairs_because_the_best_was_looked_for(t: float, beaten: set[str]) -> None:
    """Two rivals, each with p = .03, .0188, .0164 alone (n = 3): of three pairs the smallest must be below .05 / 3 = .0167, the next below .025."""
    # Differences with mean m and sd s give t = m sqrt(3) / s.
    shape = np.array([1.0, 0.0, -1.0])
    rows = [("a", s, 1.0) for s in range(3)]
    rows += [(name, s, 1.0 - 0.1 + (0.1 * 3**0.5 / t) * shape[s]) for name in ("b", "c") for s in range(3)]
    frame = pd.DataFrame(rows, columns=["place", "seed", "value"])
    assert of.unbeaten_by_best(frame, "place", is_lower_better=False) == ("a", {"a", "b", "c"} - beaten)
    assert of.unbeaten_by_best(frame[frame["place"] != "c"], "place", is_lower_better=False) == ("a", {"a"})


def test_of_equal_settings_the_best_is_rarely_said_to_beat_another() -> None:
    """Twelve settings that differ by chance alone: Holm over the eleven comparisons with the best would claim in 9 % of sweeps."""
    random, sweeps = np.random.default_rng(0), 300
    shape = pd.DataFrame([(f"v{v}", s) for v in range(12) for s in range(5)], columns=["place", "seed"])
    found = [of.unbeaten_by_best(shape.assign(value=random.normal(size=60)), "place", is_lower_better=False)[1] for _ in range(sweeps)]
    assert sum(len(tied) < 12 for tied in found) / sweeps <= 0.07


def test_a_setting_that_is_much_better_is_found_among_twelve() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame([(f"v{v}", s, random.normal() * 0.01 + (v == 3)) for v in range(12) for s in range(5)], columns=["place", "seed", "value"])
    assert of.unbeaten_by_best(frame, "place", is_lower_better=False) == ("v3", {"v3"})
    # A seed that one of them lacks is left out of its own pairs only.
    assert of.unbeaten_by_best(frame.drop(index=7), "place", is_lower_better=False) == ("v3", {"v3"})


def test_captions_say_what_is_corrected() -> None:
    assert "Holm over all pairs of values, 5 %); single differences are not corrected." in caption_of(sweep_lines(HIDDEN, over="hidden_size"))
    assert "Holm over all pairs of cells, 5 %); single differences are not corrected." in caption_of(
        sweep_pairs(GRID, x="hidden_size", y="plan.batch_size")
    )


def notes(figure) -> dict[tuple[int, int], str]:
    return {(note.x, note.y): note.text for note in figure.layout.annotations if note.text and "±" in note.text}


def test_cells_hold_mean_and_spread_and_ties_are_bold() -> None:
    pairs = scores({"hidden_size": [16, 32], "plan.batch_size": [32, 64]}, lambda seed, **s: grid_value(seed, **s) - 0.2 * (s["batch_size"] == 64))
    figure = sweep_pairs(pairs, x="hidden_size", y="plan.batch_size")
    assert notes(figure) == {
        (0, 0): ".500<br>± .010",
        (1, 0): "<b>.600 =</b><br>± .010",
        (0, 1): ".500<br>± .010",
        (1, 1): "<b>.600 =</b><br>± .010",
    }
    assert alt_of(figure).endswith("(.600 ± .010, n = 3), not told apart from 1 of the 3 other cells.")
    assert "Against the worst, hidden_size 16, batch_size 32: +.100" in caption_of(figure)
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("hidden_size", "batch_size")
    assert figure.data[0].z[0][1] > figure.data[0].z[0][0], "darker: better"


def test_pairs_of_an_error_are_darker_where_it_is_low() -> None:
    figure = sweep_pairs(GRID.assign(metric="mae"), x="hidden_size", y="plan.batch_size")
    assert figure.data[0].z[0][0] == 1.0 and figure.data[0].z[1][1] == 0.0
    assert alt_of(figure).startswith("The lowest mean mae on valid is at hidden_size 16, batch_size 32")


def test_pairs_average_over_a_third_setting_and_say_which_cells_are_empty() -> None:
    three = scores({"a": [1, 2], "b": [1, 2], "c": [1, 2]}, lambda seed, a, b, c: 0.1 * a + 0.2 * c + NOISE[seed])
    figure = sweep_pairs(three, x="a", y="b")
    assert figure.data[0].customdata[0][0] == pytest.approx(0.4)
    assert "Means over the 2 combinations of c." in caption_of(figure)
    part = three[~((three["a"] == 2) & (three["b"] == 2))]
    figure = sweep_pairs(part, x="a", y="b")
    assert "1 cell without a score." in caption_of(figure) and (1, 1) not in notes(figure)
    one = sweep_pairs(GRID[GRID["seed"] == 0], x="hidden_size", y="plan.batch_size")
    assert "one seed: it cannot be told from luck" in alt_of(one) and "=" not in "".join(note.text for note in one.layout.annotations)


def test_pairs_of_a_random_search_are_marks_larger_where_better() -> None:
    figure = sweep_pairs(random_search(0.01), x="dropout", y="plan.learning_rate")
    sizes = figure.data[0].marker.size
    assert sizes[0] == 7 and sizes[12] == 20 and figure.data[0].marker.color == INK
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("linear", "log")
    assert {"0.0001", "0.001", "0.01"} <= set(figure.layout.yaxis.ticktext)
    assert alt_of(figure) == "The highest mean score of 13 trials is .125, at dropout 0.36, learning_rate 0.01."
    assert PAPER not in str(figure.data[0].marker)
