"""Scores, curves, predictions and the map: data, names, units and captions, not pixels."""

import pandas as pd
import pytest

from workbench.errors import DataError
from workbench.figures import caption_of, confusion, effect_map, learning_curves, predicted_and_true, scores_over_seeds, unimodal_and_joint
from workbench.figures.dial_map import sign_of
from workbench.figures.palette import INK


def table(**columns: dict[str, list[float]]) -> pd.DataFrame:
    """A table of scores: alone= {modality: per seed}, inside=, joint= {variant: per seed}."""
    rows = [
        (name if kind == "joint" else "lf_dnn", "joint" if kind == "joint" else name, kind, seed, value)
        for kind, found in columns.items()
        for name, values in found.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["variant", "label", "kind", "seed", "value"])


STARVED = table(
    alone={"text": [0.80, 0.81, 0.79], "audio": [0.90, 0.91, 0.89]},
    inside={"audio": [0.60, 0.61, 0.59]},
    joint={"lf_dnn": [0.81, 0.82, 0.81], "lf_dnn + b_fusion": [0.95, 0.96, 0.94]},
)


def named(figure, name: str):
    """The traces of that name."""
    return [found for found in figure.data if found.name == name]


def test_every_seed_is_a_dot_and_the_mean_stands_beside() -> None:
    figure = unimodal_and_joint(STARVED, metric="accuracy")
    assert list(named(figure, "audio alone")[0].y) == [0.90, 0.91, 0.89]
    assert named(figure, "audio alone, mean")[0].y[0] == pytest.approx(0.90)
    # By hand: sd .01, t(2) = 4.303, so the half-width is 4.303 * .01 / sqrt 3 = .0248.
    assert named(figure, "audio alone, 95 % interval")[0].error_y.array[0] == pytest.approx(0.02484, abs=1e-4)
    assert figure.layout.yaxis.title.text == "accuracy"
    assert figure.layout.xaxis.ticktext == ("text<br>alone", "audio<br>alone", "audio<br>inside", "lf_dnn", "lf_dnn<br>+ b_fusion")


def test_no_interval_is_cut_off() -> None:
    figure = unimodal_and_joint(table(joint={"m": [0.7, 0.9]}), metric="accuracy")
    # By hand: sd .1414, t(1) = 12.706, half-width 12.706 * .1414 / sqrt 2 = 1.2706.
    assert figure.layout.yaxis.range[0] < 0.8 - 1.2706
    assert figure.layout.yaxis.range[1] > 0.8 + 1.2706


def test_inside_is_hollow_and_joint_is_ink() -> None:
    figure = unimodal_and_joint(STARVED, metric="accuracy")
    assert named(figure, "audio inside")[0].marker.symbol == "square-open"
    assert named(figure, "audio inside")[0].marker.color == named(figure, "audio alone")[0].marker.color == "#D55E00"
    assert named(figure, "lf_dnn")[0].marker.color == INK


def test_ceilings_are_dashed_and_labelled() -> None:
    figure = unimodal_and_joint(STARVED, metric="accuracy", ceiling={"all": 0.97, "audio": 0.92})
    whole, audio = named(figure, "ceiling of all")[0], named(figure, "ceiling of audio")[0]
    assert whole.line.dash == audio.line.dash == "dash"
    assert whole.x[1] - whole.x[0] > 4 > 1 > audio.x[1] - audio.x[0]
    assert {"ceiling of all .970", "ceiling .920"} <= {note.text for note in figure.layout.annotations}
    assert "Ceiling (dashed): all .970, audio .920." in caption_of(figure)
    assert figure.layout.yaxis.range[1] > 0.97


def test_the_caption_tells_of_the_starved_model_and_of_the_balanced_one() -> None:
    caption = caption_of(unimodal_and_joint(STARVED, metric="accuracy"))
    assert caption.startswith("lf_dnn (.813 ± .006) is .087 below audio alone (.900 ± .010)")
    assert "lf_dnn + b_fusion (.950 ± .010) is .137 above lf_dnn (95 %" in caption


def test_the_caption_finds_nothing_where_there_is_nothing() -> None:
    caption = caption_of(unimodal_and_joint(table(alone={"text": [0.8, 0.7, 0.9]}, joint={"m": [0.7, 0.9, 0.8]}), metric="accuracy"))
    assert "no difference found" in caption.split(". Dots")[0]


def test_one_seed_claims_nothing() -> None:
    caption = caption_of(unimodal_and_joint(table(alone={"text": [0.8]}, joint={"m": [0.9]}), metric="accuracy"))
    assert "(one seed: no interval)" in caption and caption.endswith("1 seed.")


def test_lower_is_better_for_errors() -> None:
    caption = caption_of(unimodal_and_joint(table(alone={"text": [0.9, 0.91], "audio": [1.2, 1.21]}, joint={"m": [0.8, 0.81]}), metric="MAE"))
    assert "text alone" in caption and "below text alone (.905 ± .007) (lower is better: better)" in caption


def test_scores_without_a_joint_model_or_without_single_modalities() -> None:
    assert caption_of(unimodal_and_joint(table(alone={"text": [0.8], "audio": [0.9]}), metric="accuracy")).startswith("audio alone is best with .900")
    assert caption_of(unimodal_and_joint(table(joint={"m": [0.8]}), metric="accuracy")).startswith("m reaches .800.")


def test_models_that_share_no_seed_are_not_compared() -> None:
    frame = table(alone={"text": [0.8, 0.81]}, joint={"m": [0.9, 0.91]})
    frame.loc[frame["kind"] == "joint", "seed"] += 10
    assert "share no seed: not compared" in caption_of(unimodal_and_joint(frame, metric="accuracy"))


def test_unknown_kinds_are_an_error() -> None:
    with pytest.raises(DataError, match="kinds alone, inside, joint"):
        unimodal_and_joint(STARVED.assign(kind="together"), metric="accuracy")


def curves(seeds: int = 3, *, is_best: bool = True) -> pd.DataFrame:
    """Two splits over four epochs; valid is best in epoch 2 + seed."""
    rows = []
    for seed in range(seeds):
        for epoch in range(1, 5):
            rows.append(("m", seed, epoch, "train", 0.5 + 0.1 * epoch, False))
            rows.append(("m", seed, epoch, "valid", 0.8 + 0.01 * seed - 0.1 * abs(epoch - 2 - seed), epoch == 2 + seed))
    frame = pd.DataFrame(rows, columns=["variant", "seed", "epoch", "split", "value", "is_best"]).assign(metric="accuracy")
    return frame if is_best else frame.drop(columns="is_best")


def test_learning_curves_draw_splits_and_kept_epochs() -> None:
    figure = learning_curves(curves())
    assert list(named(figure, "train")[0].y) == pytest.approx([0.6, 0.7, 0.8, 0.9])
    assert list(named(figure, "kept")[0].x) == [2, 3, 4]
    assert figure.layout.yaxis.title.text == "accuracy" and figure.layout.xaxis.title.text == "epoch"
    assert {"train", "valid"} <= {note.text for note in figure.layout.annotations}
    assert caption_of(figure).startswith("m: kept epochs 2 to 4 (median 3) of 4, valid accuracy .810 ± .010 there (n = 3).")


def test_learning_curves_without_marks_tell_the_best_epoch_seen() -> None:
    assert caption_of(learning_curves(curves(1, is_best=False))).startswith("m: best in epoch 2 of 4, valid accuracy .800 there (n = 1).")
    loss = curves(1, is_best=False).assign(metric="loss")
    assert caption_of(learning_curves(loss)).startswith("m: best in epoch 4 of 4")  # the lowest of .7 .8 .7 .6


def test_one_of_several_metrics_must_be_named() -> None:
    frame = pd.concat([curves(1), curves(1).assign(metric="loss")])
    with pytest.raises(DataError, match="holds 2 metrics and none was named"):
        learning_curves(frame)
    with pytest.raises(DataError, match='no metric "f1"'):
        learning_curves(frame, metric="f1")
    assert learning_curves(frame, metric="loss").layout.yaxis.title.text == "loss"


def test_predicted_and_true_says_error_and_correlation() -> None:
    figure = predicted_and_true(pd.DataFrame({"target": [-1.0, 0.0, 1.0], "prediction": [-0.5, 0.5, 1.5]}))
    dots = named(figure, "samples")[0]
    assert (list(dots.x), list(dots.y)) == ([-1, 0, 1], [-0.5, 0.5, 1.5])
    assert caption_of(figure).startswith("Predictions are off by .50 on average, correlation 1.00 (3 samples).")
    assert "n = 3" in [note.text for note in figure.layout.annotations]


def test_predictions_that_never_vary_have_no_correlation() -> None:
    frame = pd.DataFrame({"target": [-1.0, 0.0, 1.0], "prediction": [0.0, 0.0, 0.0], "variant": "m"})
    assert caption_of(predicted_and_true(frame)).startswith("m: predictions are off by .67 on average, no correlation can be computed")


def test_confusion_counts() -> None:
    frame = pd.DataFrame({"target": ["no", "no", "no", "yes"], "prediction": ["no", "yes", "yes", "yes"]})
    figure = confusion(frame, ["no", "yes"])
    assert figure.data[0].customdata.tolist() == [[1, 2], [0, 1]]
    assert figure.data[0].z.tolist() == [[pytest.approx(1 / 3), pytest.approx(2 / 3)], [0, 1]]
    assert [note.text for note in figure.layout.annotations if note.text.isdigit()] == ["1", "2", "0", "1"]
    assert caption_of(figure).startswith("2 of 4 samples are right (.500). The most frequent mistake: no taken for yes (2 of 3 samples).")


def test_confusion_takes_places_and_names_that_look_like_numbers() -> None:
    assert confusion(pd.DataFrame({"target": [0, 1], "prediction": [0, 1]}), ["no", "yes"]).data[0].customdata.tolist() == [[1, 0], [0, 1]]
    figure = confusion(pd.DataFrame({"target": [-1, 1], "prediction": [-1, 1]}), ["-1", "1"])
    assert figure.data[0].customdata.tolist() == [[1, 0], [0, 1]]
    assert "No class is taken for another." in caption_of(figure)


def test_an_unknown_class_is_an_error() -> None:
    with pytest.raises(DataError, match='class "maybe" is not in the list'):
        confusion(pd.DataFrame({"target": ["maybe"], "prediction": ["no"]}), ["no", "yes"])


def seeds(**found: list[float]) -> pd.DataFrame:
    """Scores over seeds per variant."""
    rows = [(name, seed, "accuracy", value) for name, values in found.items() for seed, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["variant", "seed", "metric", "value"])


def test_scores_over_seeds_draws_dots_and_intervals() -> None:
    figure = scores_over_seeds(seeds(a=[0.80, 0.81, 0.79], b=[0.9, 0.91, 0.89]), "accuracy")
    axes = figure.axes[0]
    drawn = sorted(round(float(x), 3) for dots in axes.collections[:2] for x, _ in dots.get_offsets())
    assert drawn == [0.79, 0.8, 0.81, 0.89, 0.9, 0.91]
    assert axes.get_xlabel() == "accuracy"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert caption_of(figure).startswith("b (.900 ± .010) is .100 above a (.800 ± .010)")


def test_scores_over_seeds_of_one_variant_and_of_one_seed() -> None:
    assert caption_of(scores_over_seeds(seeds(a=[0.8, 0.9]), "accuracy")).startswith("a: .85 ± .07 (n = 2).")
    assert "(one seed: no interval)" in caption_of(scores_over_seeds(seeds(a=[0.8], b=[0.9]), "accuracy"))


def test_a_dollar_in_a_name_is_not_read_as_mathematics() -> None:
    figure = scores_over_seeds(seeds(**{"a$_x$": [0.8, 0.9]}), "accuracy")
    assert not figure.axes[0].get_yticklabels()[0].get_parse_math()


DIALS = pd.DataFrame(
    [(0.2, 1.0, 0.1, 0.05, 0.15), (0.4, 1.0, -0.2, -0.3, -0.1), (0.2, 2.0, 0.01, -0.02, 0.04), (0.4, 2.0, 0.0, float("nan"), float("nan"))],
    columns=["x", "y", "value", "low", "high"],
)


def test_the_map_writes_signs_and_differences() -> None:
    figure = effect_map(DIALS, x_name="informativeness", y_name="hardness")
    assert figure.data[0].z.tolist() == [[0.1, -0.2], [0.01, 0.0]]
    words = {(note.x, note.y): note.text for note in figure.layout.annotations if "<br>" in note.text}
    assert words == {(0, 0): "<b>+</b><br>+.100", (1, 0): "<b>−</b><br>-.200", (0, 1): "<b>=</b><br>+.010", (1, 1): "<b>=</b><br>+.000"}
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("informativeness", "hardness")
    assert figure.layout.xaxis.ticktext == ("0.2", "0.4")


def test_the_map_counts_what_it_shows() -> None:
    caption = caption_of(effect_map(DIALS, x_name="informativeness", y_name="hardness"))
    assert caption.startswith("Score with balance minus without: above zero in 1, below in 1, no difference found in 2 of 4 cells.")
    assert "The largest: -.200 (95 % -.300 to -.100) at informativeness 0.4, hardness 1." in caption


def test_signs() -> None:
    assert [sign_of(0.1, 0.2), sign_of(-0.2, -0.1), sign_of(-0.1, 0.1), sign_of(float("nan"), float("nan"))] == ["+", "−", "=", "="]


def test_a_cell_that_stands_twice_is_an_error() -> None:
    with pytest.raises(DataError, match="the cell x = 0.2, y = 1.0 stands twice"):
        effect_map(pd.concat([DIALS, DIALS.iloc[:1]]))


@pytest.mark.parametrize("draw", [predicted_and_true, lambda frame: confusion(frame, ["no", "yes"])])
def test_several_labels_a_sample_are_refused_with_the_way_out(draw) -> None:
    frame = pd.DataFrame({"label": ["happy", "sad"], "target": [0, 1], "prediction": [0.2, 0.8]})
    with pytest.raises(DataError, match=r"several labels here \(happy, sad, ...\)(.|\n)*draw one: frame"):
        draw(frame)
