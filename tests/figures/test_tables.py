"""Bold, ties and published rows; the table escapes what comes from data."""

import io

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from workbench.errors import ConfigError
from workbench.figures import score_table
from workbench.figures.cells import html_table
from workbench.figures.tables import unbeaten


def seeds(metric: str = "accuracy", **found: list[float]) -> pd.DataFrame:
    """Scores over seeds per variant."""
    rows = [(name, seed, metric, value) for name, values in found.items() for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["variant", "seed", "metric", "value"])


CLEAR = seeds(a=[0.80, 0.81, 0.79, 0.80], b=[0.90, 0.92, 0.89, 0.91], c=[0.90, 0.91, 0.90, 0.91])


def test_bold_is_what_nothing_beats_and_ties_are_marked() -> None:
    table = score_table(CLEAR, metrics=["accuracy"])
    column = table.frame["accuracy ↑ (n = 4)"]
    assert column.to_dict() == {"a": ".800 ± .008", "b": ".905 ± .013 =", "c": ".905 ± .006 ="}
    assert table.cells.set_index("variant")["is_bold"].to_dict() == {"a": False, "b": True, "c": True}


def test_holm_is_over_all_pairs_of_the_column() -> None:
    # Two variants: p = .0424 (t = 4.73 with 2 degrees of freedom) is found; among three variants (Holm: p <= .05 / 3) the same difference is not.
    pair = seeds(a=[0.80, 0.80, 0.80], b=[0.81, 0.82, 0.83 - 0.0065])
    assert unbeaten(pair) == {"b"}
    assert unbeaten(pd.concat([pair, seeds(c=[0.70, 0.92, 0.81])])) == {"a", "b", "c"}


def test_lower_is_better_for_errors() -> None:
    table = score_table(seeds("MAE", a=[1.0, 1.01, 0.99], b=[0.5, 0.52, 0.49]), metrics=["MAE"])
    assert table.cells.set_index("variant")["is_bold"].to_dict() == {"a": False, "b": True}
    assert table.frame.columns.tolist() == ["MAE ↓ (n = 3)"]


def test_one_seed_is_not_ranked() -> None:
    table = score_table(seeds(a=[0.8], b=[0.9]), metrics=["accuracy"])
    assert not table.cells["is_bold"].any()
    assert table.frame["accuracy ↑ (n = 1)"].tolist() == [".800", ".900"]


def test_a_cell_with_fewer_seeds_says_so() -> None:
    table = score_table(seeds(a=[0.80, 0.81, 0.79], b=[0.9, 0.91]), metrics=["accuracy"])
    assert table.frame.loc["b"].item().startswith(".905 ± .007 (n = 2)")


def test_published_rows_are_italic_and_never_ranked() -> None:
    published = pd.DataFrame([{"variant": "published [4]", "metric": "accuracy", "value": 0.99, "source": "Table 3"}])
    table = score_table(CLEAR, metrics=["accuracy"], published=published)
    row = table.cells[table.cells["variant"] == "published [4]"].iloc[0]
    assert (row["text"], row["is_bold"], row["is_published"]) == (".990", False, True)
    assert "<em>published [4]</em><br><small>Table 3</small>" in table._repr_html_()


def test_a_published_text_and_a_metric_without_a_row() -> None:
    published = pd.DataFrame(
        [{"variant": "paper", "metric": "accuracy", "value": ".812 (other split)"}, {"variant": "paper", "metric": "other", "value": 1.0}]
    )
    both = pd.concat([CLEAR, seeds("F1", a=[0.1, 0.2])])
    frame = score_table(both, metrics=["accuracy", "F1"], published=published).frame
    assert frame.loc["paper"].tolist() == [".812 (other split)", "-"]


def test_text_from_data_is_escaped() -> None:
    html = score_table(seeds("<script>F1", **{"<script>": [0.8, 0.9]}), metrics=["<script>F1"])._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_the_numbers_go_to_csv() -> None:
    text = score_table(CLEAR, metrics=["accuracy"]).to_csv()
    back = pd.read_csv(io.StringIO(text)).set_index("variant")
    assert back.loc["a", "mean"] == pytest.approx(0.80) and back.loc["a", "n"] == 4


def test_small_intervals_lie_between_zero_and_one() -> None:
    cells = [cell for row in score_table(CLEAR, metrics=["accuracy"]).as_dict()["rows"] for cell in row if "interval" in cell]
    assert len(cells) == 3
    assert all(0 <= low <= mean <= high <= 1 for low, mean, high in (cell["interval"] for cell in cells))


def test_an_unknown_metric_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match='unknown metric "acuracy". Did you mean accuracy'):
        score_table(CLEAR, metrics=["acuracy"])


@pytest.mark.parametrize(("bold", "is_said"), [((True, True, True), True), ((True, False, True), False), ((True, True), False)])
def test_a_column_that_ranks_nothing_says_so(bold, is_said):
    rows = [[{"text": f"variant {i}"}, {"text": ".5", "is_bold": is_bold}] for i, is_bold in enumerate(bold)]
    published = [{"text": "published", "is_italic": True}, {"text": ".6", "is_italic": True}]
    html = html_table({"columns": ["variant", "accuracy"], "rows": [*rows, published]})
    assert ("tell nothing in it apart" in html) == is_said


def texts(html: str, tag: str = "td") -> list[str]:
    """The cells of a table as they are read."""
    return [cell.get_text() for cell in BeautifulSoup(html, "html.parser").select(f"tbody {tag}")]


def test_numbers_stand_under_one_another_at_the_point() -> None:
    rows = [
        [{"text": name}, {"text": text}] for name, text in (("a", ".812 ± .014"), ("b", ".81 ± .04"), ("c", "12"), ("d", "-"), ("e", "(other split)"))
    ]
    shown = texts(html_table({"columns": ["variant", "score"], "rows": rows}))
    assert shown == [".812\u00a0±\u00a0.014", ".81\u2007\u00a0±\u00a0.04\u2007", "12\u2008\u2007\u2007\u2007", "-", "(other split)"]


def test_a_tie_and_an_interval_keep_their_room_in_the_other_cells() -> None:
    cells = [{"text": ".9", "is_bold": True, "is_tied": True, "interval": [0.1, 0.5, 0.9]}, {"text": ".8"}, {"text": "-"}]
    shown = BeautifulSoup(html_table({"columns": ["variant", "score"], "rows": [[{"text": "x"}, cell] for cell in cells]}), "html.parser")
    first, second, third = shown.select("tbody td")
    assert first.svg and first.get_text() == ".9 = "
    assert "visibility:hidden" in str(second) and "width:60px" in str(second) and not second.svg
    assert third.decode_contents() == "-"


def test_the_n_of_one_cell_and_a_linked_source_stand_below_it() -> None:
    rows = [[{"text": "a", "source": "other <text>", "link": "cards/mosi.html"}, {"text": ".905 ± .007 (n = 2)", "mean": 0.905}]]
    shown = BeautifulSoup(html_table({"columns": ["variant", "score"], "rows": rows, "note": "A note."}), "html.parser")
    assert shown.select_one("td small").get_text() == "(n = 2)" and shown.td["data-value"] == "0.905"
    assert (shown.th.find_next("a")["href"], shown.a.get_text()) == ("cards/mosi.html", "other <text>")
    assert shown.select("p.note")[-1].get_text() == "A note."


def test_each_block_has_its_own_body_and_is_judged_by_itself() -> None:
    head, bold, plain = ({"text": "digits"}, {"text": ""}), {"text": ".5", "is_bold": True}, {"text": ".5"}
    rows = [head, *([{"text": name}, bold] for name in "abc"), head, *([{"text": name}, plain] for name in "ab")]
    table = {"columns": ["variant", "score"], "rows": rows, "blocks": [0, 4]}
    shown = BeautifulSoup(html_table(table), "html.parser")
    assert [len(body.select("tr")) for body in shown.select("tbody")] == [4, 3]
    assert [row["class"] for row in shown.select("tr[class]")] == [["block", "fixed"]] * 2
    assert "tell nothing in it apart" in shown.get_text()
    assert "tell nothing in it apart" not in html_table({**table, "rows": [*rows[:3], [{"text": "c"}, plain], *rows[4:]]})


def test_costs_are_two_columns_at_the_end() -> None:
    costs = {"a": (1000, 0.5), "b": (2500, 0.04), "c": (float("nan"), float("nan"))}
    frame = CLEAR.assign(parameters=CLEAR["variant"].map(lambda name: costs[name][0]), seconds=CLEAR["variant"].map(lambda name: costs[name][1]))
    table = score_table(frame, metrics=["accuracy"])
    assert table.frame.columns.tolist() == ["accuracy ↑ (n = 4)", "parameters ↓", "s/epoch ↓"]
    assert table.frame[["parameters ↓", "s/epoch ↓"]].values.tolist() == [["1,000", "0.5"], ["2,500", "0.04"], ["-", "-"]]
    assert score_table(frame.assign(parameters=float("nan"), seconds=float("nan")), metrics=["accuracy"]).frame.shape[1] == 1


def test_a_published_row_keeps_the_card_it_stands_in() -> None:
    published = pd.DataFrame([{"variant": "paper", "metric": "accuracy", "value": 0.9, "source": "Table 3", "card": "mosi"}])
    assert [row[0].get("card") for row in score_table(CLEAR, metrics=["accuracy"], published=published).as_dict()["rows"]] == [None] * 3 + ["mosi"]


@pytest.mark.parametrize(("columns", "is_below"), [(3, False), (4, True)])
def test_in_a_wide_table_intervals_stand_below_their_numbers(columns, is_below):
    row = [{"text": "a"}, *({"text": ".5", "interval": [0, 0.5, 1]} for _ in range(columns))]
    html = html_table({"columns": ["variant", *"abcd"[:columns]], "rows": [row]})
    assert html.count("<svg") == columns and html.count("<br><svg") == (columns if is_below else 0)
