"""Gates by layer, made labels against true ones, and terms by layer, of small trained models and of tables whose answers are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from reference import mmiln as reference
from scipy.stats import moment

from workbench import depth, studies
from workbench.data import load
from workbench.data.views import View, apply
from workbench.errors import ConfigError, DataError
from workbench.fitting import fit
from workbench.probes import constraints, label_errors, layers, openness
from workbench.probes.by_class import record_split
from workbench.probes.views import record_views, views
from workbench.runs import Run

SIZES = {"train": 40, "valid": 20, "test": 20}
SMALL = {"hidden_size": 8, "post_size": 8, "unimodal_size": 4, "heads": 2, "layers": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two seeds of MMILN and Self-MM, three epochs."""
    data = studies.draws("opinions/balanced", 2, align_to="text", **SIZES)
    budget = {"seeds": 2, "plan": {"epochs": 3, "patience": 3}, "runs": tmp_path_factory.mktemp("runs")}
    return depth.against_baseline(data, config=SMALL, baseline_config={"hidden_size": 8}, **budget).only("mmiln", "self_mm"), data


# Gates


def test_every_gate_of_every_layer_for_every_sample(trained):
    results, data = trained
    frame = openness.gates_by_layer(results.only("mmiln").runs, data)
    assert len(frame) == 2 * 5 * 2 * 2 * 20  # seeds, gates, layers, modalities, samples
    assert list(frame.columns) == ["variant", "seed", "gate", "layer", "modality", "sample", "value"]
    assert set(frame["gate"]) == set(openness.GATES.values()) and set(frame["layer"]) == {1, 2}
    assert frame["value"].between(0, 1).all()
    run = results.only("mmiln").runs[1]
    tap = "fusion.fused.audio.layers.1.compound"
    expected = record_split(run, data, tap)[tap].mean(f"{tap}.feature")
    found = frame.query("seed == 1 and gate == 'stream compound' and layer == 2 and modality == 'audio'")
    np.testing.assert_allclose(found["value"], expected, atol=1e-6)


def test_gates_over_epochs_are_those_that_were_recorded(trained):
    results, _ = trained
    frame = openness.gates_by_epoch(results.runs)  # self_mm has none
    assert set(frame["variant"]) == {"mmiln"} and set(frame["epoch"]) == {1, 2, 3} and set(frame["modality"]) == {"audio", "vision"}
    assert len(frame) == 2 * 5 * 2 * 2 * 3
    means = results.runs[0].trace["tap_means"].to_dataset()["fusion.openness.0.retain"].sel(modality="audio", epoch=3)
    row = frame.query("seed == 0 and gate == 'stream retain' and layer == 1 and modality == 'audio' and epoch == 3")
    assert float(row["value"].iloc[0]) == pytest.approx(float(means))


def test_movement_is_the_spread_of_single_features(trained):
    results, data = trained
    run = results.only("mmiln").runs[0]
    frame = openness.gate_movement([run], data)
    assert len(frame) == 4 * 2 * 2 and (frame["value"] > 0).all()
    tap = "fusion.unimodal.vision.layers.0.retain"
    values = record_split(run, data, tap)[tap].values
    expected = np.sqrt(values.var(0, ddof=1).mean())
    found = frame.query("gate == 'own retain' and layer == 1 and modality == 'vision'")["value"]
    assert float(found.iloc[0]) == pytest.approx(expected, rel=1e-5)


def test_samples_without_the_modality_have_no_gate(trained):
    """A view leaves a missing modality its length; its own gates stand at one half there and the screening gate at zero."""
    results, data = trained
    run = results.only("mmiln").runs[0]
    missing = apply(View(drop={"audio": 0.5}), data[0])
    found = missing["test"]
    here = found.batch(torch.arange(len(found)))["audio"].mask.any(1)
    assert 0 < int(here.sum()) < len(found)
    frame = openness.gates_by_layer([run], missing)
    kept = frame[frame["modality"] == "audio"]
    assert set(kept["sample"]) == {sample for sample, is_here in zip(found.ids, here.tolist(), strict=True) if is_here}
    assert set(frame["sample"][frame["modality"] == "vision"]) == set(found.ids)
    assert (kept["value"][kept["gate"] == "stream screening"] > 0).all() and (kept["value"][kept["gate"] == "own retain"] != 0.5).all()


def test_movement_is_that_of_samples_with_the_modality(trained):
    results, data = trained
    run = results.only("mmiln").runs[0]
    missing = apply(View(drop={"audio": 0.5}), data[0])
    here = missing["test"].batch(torch.arange(20))["audio"].mask.any(1).numpy()
    tap = "fusion.unimodal.audio.layers.1.compound"
    values = record_split(run, missing, tap)[tap].values
    expected = {name: np.sqrt(rows.var(0, ddof=1).mean()) for name, rows in (("all", values), ("here", values[here]))}
    found = openness.gate_movement([run], missing).query("gate == 'own compound' and layer == 2 and modality == 'audio'")["value"]
    assert float(found.iloc[0]) == pytest.approx(expected["here"], rel=1e-5) and expected["all"] > 1.05 * expected["here"]
    nowhere = openness.gate_movement([run], apply(View(drop={"audio": 1.0}), data[0]))
    assert set(nowhere["modality"][nowhere["gate"].str.startswith("own")]) == {"vision"}


def test_methods_without_gates_are_told(trained):
    results, data = trained
    baseline = results.only("self_mm").runs
    assert not openness.has_openness(baseline[0]) and openness.has_openness(results.runs[0])
    with pytest.raises(ConfigError, match="tap"):
        openness.gates_by_layer(baseline, data)
    with pytest.raises(DataError, match="no run recorded gates by layer"):
        openness.gates_by_epoch(baseline)


def test_gates_can_be_switched_off(trained, tmp_path):
    _, data = trained
    run = fit("mmiln", data[0], config={**SMALL, "has_gates": False}, plan={"epochs": 1, "loss": "mse"}, preset="none", runs=tmp_path)
    assert not openness.has_openness(run)
    with pytest.raises(ConfigError, match="has no gates by layer"):
        openness.gate_movement([run], data[0])
    one = fit("mmiln", data[0], config={**SMALL, "has_screening": False, "layers": 1}, plan={"epochs": 1}, preset="none", runs=tmp_path)
    assert set(openness.gates_by_layer([one], data[0])["gate"]) == set(openness.GATES.values()) - {"stream screening"}


# Labels


def test_errors_of_labels_start_at_those_of_the_whole(trained):
    results, data = trained
    frame = label_errors.label_errors(results.runs, data)
    assert set(frame["modality"][frame["variant"] == "mmiln"]) == {"audio", "vision"}
    assert set(frame["modality"][frame["variant"] == "self_mm"]) == {"text", "audio", "vision"}
    table = frame.pivot_table(index=["variant", "seed", "modality", "epoch"], columns="label", values="value")
    first = table.xs(1, level="epoch")
    np.testing.assert_allclose(first[label_errors.MADE], first[label_errors.WHOLE], atol=1e-6)
    assert (table.xs(3, level="epoch")[label_errors.MADE] != first[label_errors.MADE]).all()
    train = data[1]["train"]
    expected = float((train.target - train.labels["audio"]).abs().mean())
    assert table.loc[("mmiln", 1, "audio", 2), label_errors.WHOLE] == pytest.approx(expected, rel=1e-5)
    assert (table[label_errors.LINE] <= table[label_errors.WHOLE] + 1e-9).all()
    own = table.xs("mmiln", level="variant")[label_errors.LINE]
    target, true = train.target.numpy().astype(float), train.labels["audio"].numpy().astype(float)
    grid = [np.abs(true - a * target - b).mean() for a in np.linspace(-1, 2, 61) for b in np.linspace(-1, 1, 41)]
    assert own[1, "audio", 2] <= min(grid) < np.abs(true - label_errors.line(true, target)).mean() + 0.01


def test_knowledge_is_not_known_before_labels_are_made(trained):
    results, data = trained
    frame = label_errors.label_knowledge(results.runs, data)
    assert frame.query("epoch == 1")["value"].isna().all()
    assert frame.query("epoch > 1")["value"].between(-1, 1).all()


def test_partial_correlation_and_line_by_hand():
    given = np.array([0.0, 1.0, 2.0, 3.0])
    rest = np.array([1.0, -1.0, -1.0, 1.0])  # no line in `given` is in it
    assert label_errors.partial_correlation(2 * given + rest, -given + 3 * rest, given) == pytest.approx(1.0)
    assert label_errors.partial_correlation(given + rest, given - rest, given) == pytest.approx(-1.0)
    assert np.isnan(label_errors.partial_correlation(2 * given + 1, given + rest, given)), "a line in it knows nothing of its own"
    assert np.isnan(label_errors.partial_correlation(np.zeros(4), rest, given))
    np.testing.assert_allclose(label_errors.line(2 * given + 5 + rest, given), 2 * given + 5)
    np.testing.assert_allclose(label_errors.line(given, np.ones(4)), 1.5)


def test_the_nearest_line_is_nearest_in_absolute_error():
    given = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    wanted = 2 * given + 1 + np.array([0, 0, 0, 0, 50.0])  # a line through the most of them, and one far away
    found = label_errors.nearest_line(wanted, given)
    np.testing.assert_allclose(found[:4], [1, 3, 5, 7], atol=1e-6)
    assert np.abs(found - wanted).mean() < np.abs(label_errors.line(wanted, given) - wanted).mean() - 1
    np.testing.assert_allclose(label_errors.nearest_line(wanted, np.ones(5)), 5.0)


def test_labels_are_known_where_each_that_was_made_has_a_true_one(trained):
    results, data = trained
    own, baseline = results.only("mmiln").runs, results.only("self_mm").runs
    assert label_errors.is_known(own, data) and label_errors.is_known(baseline, data) and not label_errors.is_known([], data)
    some = {seed: replace(one, splits={**one.splits, "train": without(one["train"], "text")}) for seed, one in data.items()}
    assert label_errors.is_known(own, some) and not label_errors.is_known([*own, *baseline], some)


def without(split, name):
    """The split without the true labels of a modality."""
    return replace(split, labels={key: values for key, values in split.labels.items() if key != name})


def test_data_without_true_labels_and_methods_without_made_ones_are_refused(trained, toy, tmp_path):
    results, _ = trained
    own = fit("self_mm", toy, plan={"epochs": 1}, preset="none", runs=tmp_path)
    with pytest.raises(DataError, match="what text alone says is not known"):
        label_errors.label_errors([own], toy)
    other = fit("lf_dnn", toy, plan={"epochs": 1}, preset="none", runs=tmp_path)
    with pytest.raises(DataError, match="recorded no labels of its own making"):
        label_errors.label_errors([other], toy)
    assert not len(label_errors.label_errors([], toy)) and not len(label_errors.label_knowledge([], toy))
    assert len(results.runs) == 4


# Terms


def test_terms_of_every_layer_are_means_over_whole_batches(trained):
    results, data = trained
    frame = constraints.constraints_by_layer(results.runs, data)
    assert set(frame["variant"]) == {"mmiln"}
    assert len(frame) == 2 * 2 * (1 + 2)  # seeds, layers, one pair and two modalities
    assert (frame["value"] > 0).all() and set(frame["layer"]) == {1, 2}
    assert set(frame["between"]) == {"audio x vision", "audio", "vision"}
    run = results.only("mmiln").runs[1]
    batch = data[1]["test"].batch(torch.arange(20))  # fewer than a training batch: one batch, and the mean of one
    expected = by_hand(run.model(), batch)
    found = frame[frame["seed"] == 1].set_index(["layer", "between"])["value"]
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-4)


def by_hand(model, batch) -> dict:
    """Eqs. (25), (26) of a batch from what the layers' hooks see, in float64."""
    seen = {}
    hooks = [
        layer.register_forward_hook(lambda module, args, found, key=(kind, name, number): seen.update({key: found.hidden.detach().double().numpy()}))
        for kind, streams in (("stream", model.fusion.fused), ("own", model.fusion.unimodal))
        for name, stream in streams.items()
        for number, layer in enumerate(stream.layers, start=1)
    ]
    model(batch)
    for hook in hooks:
        hook.remove()
    found = {}
    for number in (1, 2):
        streams = [seen["stream", name, number] for name in ("audio", "vision")]
        found[number, "audio x vision"] = reference.eq24_cmd(*streams, lambda x, k: moment(x, order=k))
        for name in ("audio", "vision"):
            found[number, name] = reference.eq26_difference(seen["stream", name, number], seen["own", name, number])
    return found


def test_terms_are_means_over_the_batches(trained):
    results, data = trained
    run = results.only("mmiln").runs[0]
    run = Run(run.path, {**run.config, "plan": {**run.config["plan"], "batch_size": 8}}, run.metrics)
    expected = [by_hand(run.model(), data[0]["test"].batch(torch.arange(start, start + 8))) for start in (0, 8)]  # the last four are left out
    found = constraints.constraints_by_layer([run], data).set_index(["layer", "between"])["value"]
    for key in expected[0]:
        assert found[key] == pytest.approx((expected[0][key] + expected[1][key]) / 2, rel=1e-4)


def test_terms_depend_on_the_batch_and_short_ones_are_left_out(trained):
    results, data = trained
    run = results.runs[0]
    found = run.prepared(data[0])["test"]
    whole = list(constraints._of_batches(run.model(), found, 32, ["fusion.overlap"]))  # 20 samples: one batch, shorter than asked for
    pieces = list(constraints._of_batches(run.model(), found, 8, ["fusion.overlap"]))  # 8, 8 and 4: the last is left out
    assert len(whole) == 4 and len(pieces) == 8


def test_without_losses_nothing_is_measured_and_a_weight_of_zero_is(trained, tmp_path):
    _, data = trained
    plan = {"epochs": 1, "loss": "mse", "batch_size": 16}
    off = fit("mmiln", data[0], config={**SMALL, "has_refusion": False}, plan=plan, preset="none", runs=tmp_path)
    zero = fit("mmiln", data[0], config={**SMALL, "similarity_weight": 0.0}, plan=plan, preset="none", runs=tmp_path)
    assert not len(constraints.constraints_by_layer([off], data[0]))
    assert len(constraints.constraints_by_layer([zero], data[0])) == 6
    two = load("opinions/balanced", align_to="text", **SIZES).select("text", "audio")
    pair = fit("mmiln", two, config=SMALL, plan=plan, preset="none", runs=tmp_path)
    assert set(constraints.constraints_by_layer([pair], two)["quantity"]) == {constraints.TAPS["fusion.overlap"]}


# Views


def test_views_of_one_part_stand_together_in_the_layers_order():
    taps = ["a.layers.1.weights", "a.layers.0.weights", "b.weights", "a.layers.0.other", "layers.10.weights", "layers.2.weights"]
    found = layers.by_layer({"tap": tap} for tap in taps)
    assert [[(view["tap"], view["layer"]) for view in group] for group in found] == [
        [("a.layers.0.weights", 1), ("a.layers.1.weights", 2)],
        [("b.weights", 0)],
        [("a.layers.0.other", 1)],
        [("layers.2.weights", 3), ("layers.10.weights", 11)],
    ]


def test_aligned_steps_carry_the_words_they_were_aligned_to(trained):
    results, data = trained
    found = [view for view in views(record_views(results.runs[0], data[0])) if "cross_attention" in view["tap"]]
    told = layers.with_shared_words(found, data[0])
    words = told[0]["steps"]["text_time"]["words"]
    assert words and told[0]["steps"]["audio_time"]["words"] == words and found[0]["steps"]["audio_time"]["words"] is None
    assert len(words) == told[0]["values"].sizes["audio_time"]
    plain = load("opinions/balanced", **SIZES)
    assert layers.with_shared_words(found, plain) == found
