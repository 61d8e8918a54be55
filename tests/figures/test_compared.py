"""The comparison's tables and pictures: data, ties, captions where they are true and where the opposite is."""

import numpy as np
import pandas as pd
import pytest

from workbench.errors import ConfigError, DataError
from workbench.figures import caption_of, comparison_table, pair_matrix, pairs_table, rank_plot
from workbench.figures.captions import alt_of

NAN = float("nan")


def scored(variant, values, *, dataset="mosi", metric="acc2_non0", title="Acc-2", **facts):
    plain = {"dataset": dataset, "variant": variant, "method": "lf_dnn", "balance": "none", "metric": metric, "title": title}
    return [plain | {"seed": seed, "value": value, "parameters": 1234, "seconds": 0.25} | facts for seed, value in enumerate(values)]


@pytest.fixture
def scores():
    """Two that tie, one that is worse than both."""
    strong = [0.80, 0.82, 0.81, 0.83, 0.82]
    rows = scored("a", strong) + scored("b", [value + 0.002 * (-1) ** i for i, value in enumerate(strong)], balance="b_fusion")
    return pd.DataFrame(rows + scored("c", [value - 0.1 for value in strong]))


# The table


def test_a_tie_is_two_bold_cells_and_one_that_beats_all_has_no_tie(scores):
    table = comparison_table(scores)
    assert table.columns == ("variant", "Acc-2 ↑", "n", "parameters ↓", "s/epoch ↓")
    head, *rows = table.rows
    assert [cell["text"] for cell in head] == ["mosi", "", "", "", ""]
    assert [(row[1]["text"], row[1]["is_bold"], row[1]["is_tied"]) for row in rows] == [
        (".816 ± .011", True, True), (".816 ± .010", True, True), (".716 ± .011", False, False),
    ]  # fmt: skip
    assert [row[0]["source"] for row in rows] == ["lf_dnn", "lf_dnn, b_fusion", "lf_dnn"]
    assert rows[0][1]["source"] == "95 % .802 to .830"
    assert [cell["text"] for cell in rows[0][2:]] == ["5", "1,234", "0.25"]
    assert rows[0][1]["interval"][2] == pytest.approx(1, abs=0.05) and rows[2][1]["interval"][0] == 0
    alone = comparison_table(scores[scores["variant"] != "b"])
    assert [(row[1]["is_bold"], row[1]["is_tied"]) for row in alone.rows[1:]] == [(True, False), (False, False)]
    numbers = table.numbers.set_index("variant")
    assert numbers.loc["a", ["mean", "n"]].tolist() == [pytest.approx(0.816), 5]
    assert numbers.loc["a", "sd"] == pytest.approx(np.std([0.80, 0.82, 0.81, 0.83, 0.82], ddof=1))
    assert numbers["is_tied"].tolist() == [True, True, False]


def test_a_name_that_says_method_and_rule_is_not_explained():
    table = comparison_table(pd.DataFrame(scored("lf_dnn + b_fusion", [0.1, 0.2], balance="b_fusion") + scored("lf_dnn", [0.1, 0.2])))
    assert [row[0]["source"] for row in table.rows[1:]] == ["", ""]


def test_published_rows_stand_below_and_are_not_ranked(scores):
    printed = pd.DataFrame([{"dataset": "mosi", "variant": "awf in AWF Table 4", "metric": "acc2_non0", "value": 0.99, "source": "other features"}])
    table = comparison_table(scores, printed)
    last = table.rows[-1]
    assert (last[0]["text"], last[0]["source"], last[1]["text"], last[1]["is_italic"]) == ("awf in AWF Table 4", "other features", ".990", True)
    assert not last[1].get("is_bold")
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert table.numbers["is_published"].tolist() == [False, False, False, True]
    assert [row[1]["is_bold"] for row in table.rows[1:4]] == [True, True, False]


def test_unlike_metrics_are_named_by_block_and_errors_point_down(scores):
    both = pd.concat([scores, pd.DataFrame(scored("a", [0.9, 1.0, 0.8], dataset="sims", metric="mae", title="MAE"))])
    table = comparison_table(both)
    assert (table.columns[1], table.blocks) == ("score", (0, 4))
    assert [(table.rows[i][0]["text"], table.rows[i][0]["source"]) for i in table.blocks] == [("mosi", "Acc-2 ↑"), ("sims", "MAE ↓")]


def test_one_seed_ranks_nothing(scores):
    table = comparison_table(scores[scores["seed"] == 0])
    assert not any(row[1]["is_bold"] for row in table.rows[1:])
    assert [row[1]["source"] for row in table.rows[1:]] == [""] * 3
    assert table.note.startswith("One seed each: nothing is ranked")
    with pytest.raises(DataError, match="needs the column seconds"):
        comparison_table(scores.drop(columns="seconds"))


# Pairs


def pair(first, second, mean, found, *, verdict="=", dataset="mosi", unit="group", seeds=5):
    facts = {
        "dataset": dataset,
        "metric": "acc2_non0",
        "title": "Acc-2",
        "first": first,
        "second": second,
        "mean": mean,
        "unit": unit,
        "seeds": seeds,
    }
    facts["seeds_mean"] = mean
    return facts | {"low": mean - 0.02, "high": mean + 0.02, "p_holm": 0.0004, "groups": 31, "seeds_low": NAN if seeds < 2 else mean - 0.01,
                    "seeds_high": NAN if seeds < 2 else mean + 0.01, "seeds_p_holm": NAN if seeds < 2 else 0.04, "mcnemar": 3,
                    "found": found, "verdict": verdict}  # fmt: skip


@pytest.fixture
def compared():
    """b is above c; a ties with both, with b by samples alone."""
    return pd.DataFrame([pair("a", "b", -0.01, "samples"), pair("a", "c", 0.03, "neither"), pair("b", "c", 0.04, "both", verdict="above")])


def test_each_pair_is_read_from_both_sides(compared):
    figure = pair_matrix(compared)
    (square,) = figure.data
    np.testing.assert_array_equal(square.z, [[NAN, 0, 0], [0, NAN, 1], [0, -1, NAN]])
    said = {(note.y, note.x): note.text for note in figure.layout.annotations if note.text.startswith("<b>") and "<br>" in note.text}
    assert said[1, 2] == "<b>+</b><br>+.040" and said[2, 1] == "<b>−</b><br>-.040"
    assert said[0, 1] == "<b>= †</b><br>-.010" and said[1, 0] == "<b>= †</b><br>+.010"
    assert said[0, 2] == "<b>=</b><br>+.030"
    assert list(figure.layout.yaxis.ticktext) == ["a  1", "b  2", "c  3"]


def test_its_caption_counts_and_names_all_that_are_not_beaten(compared):
    assert alt_of(pair_matrix(compared)) == "mosi: 1 of 3 pairs is told apart over samples and seeds."
    said = caption_of(pair_matrix(compared))
    assert "Ties: 1 over samples only, 1 over neither." in said
    assert "The largest is .040 (95 % .020 to .060): b is better than c." in said
    assert "Not beaten by any: a, b (they tie)." in said
    assert "5 seeds; 31 groups (videos, speakers), drawn whole." in said


def test_where_nothing_is_told_apart_it_says_so(compared):
    said = caption_of(pair_matrix(compared.assign(found="seeds", verdict="=", unit="sample")))
    assert said.startswith("mosi: none of 3 pairs is told apart over samples and seeds. Ties: 3 over seeds only, 0 over neither.")
    assert "The largest" not in said
    assert "Not beaten by any: a, b, c (all tie)." in said
    assert "31 samples, each its own group." in said
    one = caption_of(pair_matrix(compared[2:].assign(seeds=1)))
    assert one.startswith("mosi: the one pair is told apart")
    assert "Not beaten by any: b (alone)." in one
    assert "1 seed: nothing is told apart over seeds" in one


def test_the_worse_row_is_worse_whatever_its_unit(compared):
    """An error: the first has less of it and is better."""
    said = caption_of(pair_matrix(pd.DataFrame([pair("a", "b", -0.2, "both", verdict="above")])))
    assert "The largest is .200 (95 % .180 to .220): a is better than b." in said
    turned = caption_of(pair_matrix(pd.DataFrame([pair("a", "b", -0.2, "both", verdict="below")])))
    assert "b is better than a." in turned


def test_many_variants_leave_room_for_signs_only():
    many = pd.DataFrame([pair(f"v{i}", f"v{j}", 0.01, "neither") for i in range(10) for j in range(i + 1, 10)])
    assert {note.text for note in pair_matrix(many).layout.annotations if note.text.startswith("<b>=")} == {"<b>=</b>"}


def test_the_data_set_must_be_named_and_known(compared):
    two = pd.concat([compared, compared.assign(dataset="sims")])
    assert alt_of(pair_matrix(two, dataset="sims")).startswith("sims: ")
    for asked in (None, "sim"):
        with pytest.raises(ConfigError, match="unknown data set"):
            pair_matrix(two, dataset=asked)
    with pytest.raises(DataError, match="needs the column verdict"):
        pair_matrix(compared.drop(columns="verdict"))


def test_the_pairs_as_a_table(compared):
    table = pairs_table(compared)
    assert [cell["text"] for cell in table.rows[3]] == ["b", "+.040", "< .001", "+.040", ".04", "3 of 5", "better"]
    assert [table.rows[3][i]["source"] for i in (0, 1, 3)] == ["less c", "95 % +.020 to +.060", "+.030 to +.050"]
    assert [row[-1]["text"] for row in table.rows] == ["", "= †", "=", "better"]
    assert "Both count as a tie." in table.note
    single = pairs_table(compared.assign(seeds=1, seeds_p_holm=NAN, mcnemar=-1, low=NAN)).rows[1]
    assert (single[1]["source"], single[3]["source"], single[4]["text"], single[5]["text"]) == ("one group", "one seed", "-", "-")
    worse = pairs_table(compared.assign(verdict="below", found="both"))
    assert {row[-1]["text"] for row in worse.rows[1:]} == {"worse"}
    two = pairs_table(pd.concat([compared, compared.assign(dataset="sims", title="MAE")]))
    assert [two.rows[i][0]["text"] for i in two.blocks] == ["mosi", "sims"]
    assert (two.columns[1], two.rows[4][0]["source"]) == ("difference", "MAE")


# Ranks


def ranked(means, *, p=0.0004, critical=0.8, ties=((0,), (0,), ())):
    facts = {"blocks": 10, "datasets": "mosi, sims", "seeds": 5, "p": p, "critical": critical}
    return pd.DataFrame([{"variant": name, "rank": mean, "ties": tie, **facts} for name, mean, tie in zip("abc", means, ties, strict=True)])


def test_the_first_of_the_ranks_never_stands_alone_where_it_ties():
    figure = rank_plot(ranked([1.4, 1.6, 3.0]))
    assert alt_of(figure) == "a has the lowest mean rank (1.40) and ties with b; told apart from it: c (Friedman, p < .001)."
    dots, bracket = figure.data
    assert (list(dots.x), list(dots.y), dots.error_x.value) == ([1.4, 1.6, 3.0], [0, 1, 2], 0.4)
    assert (bracket.y[0], bracket.y[1]) == (-0.2, 1.2)
    assert list(figure.layout.yaxis.ticktext) == ["a", "b", "c"]
    assert "it speaks of these 2, not of others" in caption_of(figure)


def test_where_the_first_ties_with_nobody_or_all_are_alike():
    assert alt_of(rank_plot(ranked([1.0, 2.0, 3.0], ties=((), (), ())))).startswith("a has the lowest mean rank (1.00), tied with no other;")
    alike = rank_plot(ranked([1.9, 2.0, 2.1], p=0.4, ties=((0,), (0,), (0,))))
    assert alt_of(alike) == "No difference between the 3 ranks found (Friedman, p = .40): all tie."
    with pytest.raises(DataError, match="needs the column critical"):
        rank_plot(ranked([1, 2, 3]).drop(columns="critical"))
