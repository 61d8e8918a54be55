"""Pictures of balancing rules: differences with marks, maps with three values, probes by rule, ratios by optimizer."""

import numpy as np
import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures import caption_of, effect_maps, head_gaps, magnitude_ratios, probes_by_rule, rule_effects, rules_table
from workbench.figures.captions import alt_of

NAN = float("nan")


def comparison(rule, kind, mean, verdict, *, against="none", dataset="opinions", half=0.02, n=4):
    labels = {"dataset": dataset, "method": "lf_dnn", "metric": "Acc-2", "rule": rule, "against": against, "kind": kind}
    return labels | {"mean": mean, "low": mean - half, "high": mean + half, "n": n, "verdict": verdict}


@pytest.fixture
def effects():
    """b_fusion is above all three, uniform above none only, and the text alone is above none."""
    return pd.DataFrame(
        [
            comparison("b_fusion", "none", 0.10, "above"),
            comparison("uniform", "none", 0.05, "above"),
            comparison("ogm_ge", "none", -0.01, "="),
            comparison("b_fusion", "uniform", 0.05, "above", against="uniform"),
            comparison("ogm_ge", "uniform", -0.06, "below", against="uniform"),
            comparison("none", "single", -0.04, "below", against="text alone"),
            comparison("b_fusion", "single", 0.06, "above", against="text alone"),
            comparison("uniform", "single", 0.01, "=", against="text alone"),
            comparison("ogm_ge", "single", -0.05, "below", against="text alone"),
            comparison("text alone", "none", 0.04, "above"),
        ]
    )


# Differences


def test_what_is_found_is_filled_and_one_modality_alone_has_its_row(effects):
    figure = rule_effects(effects)
    marks = {trace.name: trace for trace in figure.data}
    assert list(marks) == ["b_fusion", "uniform", "ogm_ge", "text alone"]
    assert [marks[name].marker.color for name in ("b_fusion", "uniform", "ogm_ge")] == ["#1A1A1A", "#1A1A1A", "#FFFFFF"]
    assert list(figure.layout.yaxis.ticktext) == ["b_fusion", "uniform", "ogm_ge", "one modality"]
    assert marks["text alone"].y[0] == 3 and marks["text alone"].marker.symbol == "diamond"
    assert marks["b_fusion"].x[0] == 0.10 and marks["b_fusion"].error_x.array[0] == pytest.approx(0.02)
    said = [note.text for note in figure.layout.annotations]
    assert said == ["<b>opinions<br>lf_dnn</b>", "+.100", "+.050 †", "-.010 †", "+.040 text alone"]


def test_its_caption_names_what_is_above_and_below_each(effects):
    assert alt_of(rule_effects(effects)) == (
        "opinions, lf_dnn: above no rule: b_fusion (+.100), uniform (+.050), no difference to no rule found for 1 of 3 rules; above uniform losses: "
        "b_fusion, below uniform losses: ogm_ge; above text alone: b_fusion, below text alone: ogm_ge, "
        "no difference to text alone found for 1 of 3 rules (n = 4; Holm, 5 %)."
    )


def test_where_nothing_is_found_it_says_so(effects):
    nothing = effects.assign(verdict="=")
    said = caption_of(rule_effects(nothing))
    assert "no difference to no rule found for any of 3 rules" in said and "above no rule:" not in said
    assert "Longer bars are cut" not in said
    wide = nothing.assign(low=nothing["mean"] - 1, high=nothing["mean"] + 1)
    assert "Longer bars are cut at the picture's edge." in caption_of(rule_effects(wide))


def test_one_seed_has_no_interval(effects):
    one = effects.assign(low=NAN, high=NAN, n=1, verdict="=")
    assert "(n = 1, one seed tells nothing apart)" in caption_of(rule_effects(one))


def test_rules_must_be_compared_with_none(effects):
    with pytest.raises(DataError, match="no comparison with no rule"):
        rule_effects(effects[effects["kind"] == "single"])
    with pytest.raises(DataError, match="needs the column kind"):
        rule_effects(effects.drop(columns="kind"))


def test_the_table_marks_each_comparison_and_no_row_is_bold(effects):
    values = {"text alone": [0.80, 0.82], "none": [0.76, 0.78], "b_fusion": [0.86, 0.88], "uniform": [0.81, 0.83], "ogm_ge": [0.75, 0.77]}
    rows = [{"variant": name, "seed": seed, "value": value} for name, found in values.items() for seed, value in enumerate(found)]
    scores = pd.DataFrame(rows).assign(dataset="opinions", method="lf_dnn", metric="Acc-2")
    table = rules_table(scores, effects, ceiling={"opinions": 0.95})
    shown = table.frame.set_index("rule")
    assert list(shown.index) == ["text alone", "none †", "b_fusion", "uniform †", "ogm_ge †", "ceiling: best attainable"]
    assert shown.loc["b_fusion", "score (n = 2)"] == ".870 ± .014" and shown.loc["ceiling: best attainable", "score (n = 2)"] == ".950"
    assert shown.loc["b_fusion", "less none"] == "▲ +.100 (+.080 to +.120)"
    assert shown.loc["ogm_ge †", "less uniform"].startswith("▼ -.060") and shown.loc["uniform †", "less one modality"].startswith("= +.010")
    assert shown.loc["uniform †", "less uniform"] == ""
    assert [cell["text"] for cell in table.as_dict()["rows"][0]] == ["opinions, lf_dnn", "", "", "", ""]
    assert table.as_dict()["rows"][0][0]["source"] == "Acc-2 ↑" and table.as_dict()["rows"][3][2] == {"text": "▲ +.100", "source": "+.080 to +.120"}
    html = table._repr_html_()
    assert "<strong>" not in html and "not found above one modality alone" in html and html.count("<svg") == 5
    assert table.to_csv().startswith("data set,method,rule,score (n = 2)")
    assert "is_bold" not in str(table.as_dict())


# Maps


def cells(**values):
    """Two cells a rule, at x = 0 and 1: (mean, half an interval, p)."""
    rows = [
        {"variant": rule, "x": float(x), "y": 0.5, "value": mean, "low": mean - half, "high": mean + half, "p": p, "n": 3}
        for rule, found in values.items()
        for x, (mean, half, p) in enumerate(found)
    ]
    return pd.DataFrame(rows)


def test_a_map_a_rule_with_three_values():
    figure = effect_maps(
        cells(b_fusion=[(0.0, 0.02, 0.9), (0.1, 0.02, 1e-4)], ogm_ge=[(-0.05, 0.04, 0.03), (0.01, 0.02, 0.5)]), x_name="hardness", y_name="y"
    )
    assert [trace.z.tolist() for trace in figure.data] == [[[0.0, 1.0]], [[-1.0, 0.0]]]
    said = caption_of(figure)
    assert said.startswith(
        "b_fusion: helps in 1, no difference found in 1, hurts in 0 of 2 cells. ogm_ge: helps in 0, no difference found in 1, hurts in 1 of"
    )
    assert "Largest gain +.100 (95 % +.080 to +.120), b_fusion at hardness 1, y 0.5; largest loss -.050 (95 % -.090 to -.010), ogm_ge at" in said
    assert "corrected for all 4 at once (Holm, 5 %) 1 of the 2 signs + and − hold. 3 seeds a cell." in said
    assert list(figure.layout.xaxis.ticktext) == ["0", "1"]


def test_maps_without_any_effect():
    said = caption_of(effect_maps(cells(uniform=[(0.0, 0.1, 0.9), (0.01, 0.1, 0.8)])))
    assert "helps in 0, no difference found in 2, hurts in 0 of 2 cells" in said and "No gain found; no loss found." in said
    assert "0 of the 0 signs" in said


def test_a_cell_stands_once():
    found = cells(uniform=[(0.0, 0.1, 0.9)])
    with pytest.raises(DataError, match="a cell stands twice"):
        effect_maps(pd.concat([found, found]))


# Probes and heads


def probes(**by_rule):
    """Scores of text and audio by rule, in four seeds with a spread."""
    rows = [
        {"variant": rule, "seed": seed, "modality": modality, "value": value + 0.001 * ((seed * 7 + len(rule)) % 4)}
        for rule, pair in by_rule.items()
        for modality, value in zip(("text", "audio"), pair, strict=True)
        for seed in range(4)
    ]
    return pd.DataFrame(rows)


def test_probes_that_are_raised_and_lowered_are_named():
    figure = probes_by_rule(probes(none=(0.8, 0.6), uniform=(0.8, 0.9), ogm_ge=(0.7, 0.6)), metric="accuracy")
    said = alt_of(figure)
    assert "raised: audio with uniform (+.3" in said and "lowered: text with ogm_ge (-.1" in said
    assert said.endswith("no difference found for 2 of 4 pairs of modality and rule (Holm, 5 %).")
    assert [trace.name for trace in figure.data] == ["text", "audio"] and len(figure.data[0].x) == 3


def test_probes_that_do_not_differ():
    said = alt_of(probes_by_rule(probes(none=(0.8, 0.6), uniform=(0.8, 0.6)), metric="accuracy"))
    assert said == "Probes against no rule: no difference found for 2 of 2 pairs of modality and rule (Holm, 5 %)."
    alone = alt_of(probes_by_rule(probes(uniform=(0.8, 0.6)), metric="accuracy"))
    assert alone.startswith("Probes of text .80") and alone.endswith("nothing to compare them with.")


def test_gaps_are_told_of_the_last_epoch():
    rows = [(seed, epoch, name, value * epoch) for seed in (0, 1) for epoch in (1, 2) for name, value in (("text", 0.1), ("audio", -0.05))]
    frame = pd.DataFrame(rows, columns=["seed", "epoch", "modality", "value"]).assign(variant="uniform")
    assert caption_of(head_gaps(frame)).startswith("uniform, last epoch: text .20 (95 % .20 to .20), audio -.10 (95 % -.10 to -.10). Above zero:")


# Optimizers


def traced(**by_optimizer):
    """By optimizer: none and b_fusion with (gradient ratio, update ratio, score), three seeds with a small spread."""
    rows = [
        {"optimizer": optimizer, "variant": rule, "seed": seed, "quantity": quantity, "value": value * (1 + 0.004 * ((seed * 5 + place) % 3))}
        for optimizer, found in by_optimizer.items()
        for place, (rule, values) in enumerate(found.items())
        for quantity, value in zip(("gradient", "update", "score"), values, strict=True)
        for seed in range(3)
    ]
    return pd.DataFrame(rows)


def test_gradients_that_come_together_without_the_steps():
    adam = {"none": (50.0, 2.0, 0.8), "b_fusion": (5.0, 2.0, 0.9)}
    figure = magnitude_ratios(traced(Adam=adam, SGD={"none": (50.0, 50.0, 0.8), "b_fusion": (50.0, 50.0, 0.7)}), metric="Acc-2")
    said = caption_of(figure)
    same = "no difference found for 1 of 1 rule"
    assert (
        f"Adam, against no rule: Gradients: closer together with b_fusion (ratio × 0.1). Update norms: {same}. Score: better with b_fusion (" in said
    )
    assert f"SGD, against no rule: Gradients: {same}. Update norms: {same}. Score: worse with b_fusion (" in said
    first = figure.data[0]
    assert first.name == "Adam" and first.x[0] == pytest.approx(50 * np.prod([1, 1.008, 1.004]) ** (1 / 3), rel=1e-3)
    assert figure.layout.xaxis.type == "log" and figure.layout.xaxis3.type == "linear"
    assert [trace.name for trace in figure.data if trace.showlegend] == ["Adam", "SGD"]


def test_a_lower_error_is_better():
    said = caption_of(magnitude_ratios(traced(Adam={"none": (2.0, 2.0, 0.8), "b_fusion": (3.0, 3.0, 0.7)}), metric="MAE"))
    assert "Gradients: further apart with b_fusion" in said and "Score: better with b_fusion (-" in said
