"""Curves with their areas, areas as dots, and scores of every subset: what is drawn and what is said."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures import area_dots, caption_of, disturbed_lines, subset_dots, subset_table
from workbench.figures.captions import alt_of

KEPT = {("plain", "text"): 0.4, ("plain", "audio"): 0.9, ("cvae, synthesis", "text"): 0.8, ("cvae, synthesis", "audio"): 0.7}


def area_table(kept: dict[tuple[str, str], float] = KEPT, *, seeds: int = 3) -> pd.DataFrame:
    rows = [(v, seed, m, kind, value) for ((v, m), value), seed, kind in product(kept.items(), range(seeds), ("missing", "noise"))]
    return pd.DataFrame(rows, columns=["variant", "seed", "modality", "disturbance", "value"])


def curve_table(kept: dict[tuple[str, str], float] = KEPT) -> pd.DataFrame:
    rows = [
        (v, seed, m, kind, amount, "accuracy", 0.9 - 0.8 * (1 - value) * amount + 0.01 * seed)
        for ((v, m), value), seed, kind, amount in product(kept.items(), range(3), ("missing", "noise"), (0.0, 1.0))
    ]
    return pd.DataFrame(rows, columns=["variant", "seed", "modality", "disturbance", "amount", "metric", "value"])


def test_a_line_ends_in_its_letter_and_its_area():
    figure = disturbed_lines(curve_table(), area_table())
    assert [note.text for note in figure.layout.annotations] == [
        "<b>text missing</b>", "<b>audio missing</b>", "<b>a</b> .40", "<b>b</b> .80", "<b>a</b> .90", "<b>b</b> .70",
        "<b>a</b>\u00a0plain\u2003<b>b</b>\u00a0cvae,\u00a0synthesis",
    ]  # fmt: skip
    line = figure.data[0]
    assert line.name == "plain" and list(line.x) == [0, 1] and list(line.y) == pytest.approx([0.91, 0.43])
    assert figure.layout.xaxis.title.text == "share missing"
    assert "Lines: means of 3 seeds, named by letters" in caption_of(figure)
    assert len({trace.line.dash for trace in figure.data}) == 2
    many = disturbed_lines(curve_table({(f"{letter * 30}", "text"): 0.5 for letter in "xyzuv"}), area_table())
    assert many.layout.annotations[-1].text.count("<br>") == 2 and many.layout.height == figure.layout.height + 40


def test_what_keeps_most_is_named_either_way():
    said = caption_of(disturbed_lines(curve_table(), area_table()))
    assert said.startswith("Text missing: most is kept by cvae, synthesis (area .80, 95 % .80 to .80), least by plain (.40, 95 % .40 to .40), +.400")
    assert "Audio missing: most is kept by plain (area .90" in said
    turned = area_table({("plain", "text"): 0.9, ("cvae, synthesis", "text"): 0.1})
    assert alt_of(disturbed_lines(curve_table(), turned)).startswith("Text missing: most is kept by plain (area .90")
    one = area_table({("plain", "text"): 0.9}, seeds=1)
    assert alt_of(disturbed_lines(curve_table(), one)) == "Text missing: most is kept by plain (area .90)."
    assert "Audio missing: no area" in caption_of(disturbed_lines(curve_table(), one))


def test_noise_says_its_unit_and_what_is_not_there_is_refused():
    figure = disturbed_lines(curve_table(), area_table(), kind="noise")
    assert figure.layout.xaxis.title.text == "amount of noise" and "standard deviations of a feature" in caption_of(figure)
    assert alt_of(figure).startswith("Text noisy:")
    with pytest.raises(DataError, match='nothing in the table is disturbed by "fog"'):
        disturbed_lines(curve_table(), area_table(), kind="fog")
    with pytest.raises(DataError, match="disturbed_lines needs the column amount"):
        disturbed_lines(curve_table().drop(columns="amount"), area_table())


def test_areas_are_dots_in_the_hue_of_what_is_disturbed():
    figure = area_dots(area_table())
    assert {trace.name: trace.marker.color for trace in figure.data} == {"text": "#0072B2", "audio": "#D55E00"}
    text = next(trace for trace in figure.data if trace.name == "text")
    assert list(text.x) == pytest.approx([0.4, 0.8]) and list(text.error_x.array) == pytest.approx([0, 0], abs=1e-9)
    assert list(figure.layout.yaxis.ticktext) == ["plain", "cvae,<br>synthesis"]
    said = caption_of(figure)
    assert said.startswith("Missing, the modality that costs most: text for 1 of 2 variants, audio for 1 of 2 variants; ")
    assert "Noisy, the lowest area of each modality, whose amounts are not alike: text .40 (plain), audio .70 (cvae, synthesis)." in said
    assert "without an area" not in said
    assert "the lowest area is .40 (plain, text)" in said and "Hue and mark, the disturbed modality: ● text, ■ audio." in said
    same = area_dots(area_table({key: 0.2 if key[1] == "audio" else 0.9 for key in KEPT}))
    assert alt_of(same).startswith("Missing, the modality that costs most: audio for 2 of 2 variants; the lowest area is .20 (plain, audio)")


def test_one_is_marked_in_every_panel():
    figure = area_dots(area_table())
    assert [(shape.x0, shape.xref) for shape in figure.layout.shapes] == [(1, "x"), (1, "x2")]


def test_areas_that_are_not_there():
    frame = area_table()
    frame.loc[(frame["variant"] == "plain") & (frame["modality"] == "audio"), "value"] = np.nan
    assert "text for 0" not in caption_of(area_dots(frame)) and "of 1 variant;" in caption_of(area_dots(frame))
    lacking = "6 of 24 curves without an area: undisturbed no better than looking at nothing."
    assert lacking in caption_of(area_dots(frame))
    assert "3 of 12 curves without an area" in caption_of(disturbed_lines(curve_table(), frame))
    with pytest.raises(DataError, match="without a single value"):
        area_dots(area_table().assign(value=np.nan))
    only = pd.concat([frame[(frame["variant"] == "plain")], frame[(frame["variant"] != "plain") & (frame["modality"] == "audio")]])
    assert alt_of(area_dots(only)) == "Missing: no variant has an area for every modality."


def subset_values(without: float = 0.6, only: float = 0.5) -> pd.DataFrame:
    values = {("nothing", 0): 0.4, ("text", 1): only, ("audio", 1): without, ("text + audio", 2): 0.8}
    rows = [("plain", seed, left, count, value + 0.01 * seed * (count == 2)) for (left, count), value in values.items() for seed in range(5)]
    return pd.DataFrame(rows, columns=["variant", "seed", "left", "count", "value"])


def test_subsets_stand_from_all_to_nothing():
    figure = subset_dots(subset_values(), metric="accuracy", floor=0.45)
    assert list(figure.layout.yaxis.ticktext) == ["text + audio", "text", "audio", "nothing"]
    assert list(figure.data[0].x) == pytest.approx([0.82, 0.5, 0.6, 0.4])
    said = caption_of(figure)
    assert said.startswith("plain: best with less is audio, -.220 against everything (95 % ")
    assert "nothing is found better with less, 3 of 3 subsets found worse (Holm, 5 %)" in said
    assert "Dotted: the best answer that looks at nothing (.450)." in said


def test_less_may_be_found_better_and_errors_turn_it_round():
    said = caption_of(subset_dots(subset_values(only=0.95), metric="accuracy"))
    assert said.startswith("plain: best with less is text, +.130 against everything")
    assert "found better with less: text, 2 of 3 subsets found worse" in said and "Dotted" not in said
    said = caption_of(subset_dots(subset_values(), metric="MAE"))
    assert said.startswith("plain: best with less is nothing, -.420 against everything")  # of an error less is better
    assert "found better with less: nothing, text, audio, 0 of 3 subsets found worse" in said
    one = subset_values().query("seed == 0")
    assert "(one seed: no interval); nothing is found better with less, 0 of 3 subsets found worse" in caption_of(subset_dots(one))
    assert "nothing else was asked" in caption_of(subset_dots(subset_values().query("count == 2")))


def test_the_table_of_subsets_marks_what_is_found_apart_from_everything():
    table = subset_table(subset_values(only=0.95), metric="accuracy")
    assert table.columns == ("left (accuracy)", "plain (n = 5)")
    assert table.rows == (
        ("text + audio", ".820 ± .016"),
        ("text", ".950 ± .000\u00a0▲"),
        ("audio", ".600 ± .000\u00a0▼"),
        ("nothing", ".400 ± .000\u00a0▼"),
    )
    turned = subset_table(subset_values(), metric="MAE")
    assert turned.rows[3][1].endswith("▲")
    one = subset_table(subset_values().query("seed == 0"))
    assert [row[1] for row in one.rows] == [".800", ".500", ".600", ".400"]
