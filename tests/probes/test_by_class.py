"""Views averaged by class: means, intervals and differences against hand calculation and scipy, and classes of every task."""

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

from workbench import methods
from workbench.errors import ConfigError, DataError
from workbench.figures import caption_of, gates_by_class, matrices_by_class, modality_graph
from workbench.probes.by_class import by_class, by_class_over_seeds, classes_of, interval, record_split, welch
from workbench.taps import Tap

NAMES = ["text", "audio"]


def members(*rows, names=None) -> xr.DataArray:
    table = np.array(rows, bool)
    return xr.DataArray(table, dims=("sample", "class"), coords={"class": names or [f"c{i}" for i in range(table.shape[1])]})


def values(table, *dims, **coords) -> xr.DataArray:
    return xr.DataArray(np.asarray(table, float), dims=("sample", *dims), coords=coords)


def test_means_and_differences_are_those_of_a_hand_calculation():
    found = by_class(values([1, 3, 10, 14]), members([1, 0], [1, 0], [0, 1], [0, 1]))
    assert found["mean"].values.tolist() == [2, 12]
    assert found["apart"].values.tolist() == [-10, 10]
    assert found["n"].values.tolist() == [2, 2]
    # Two values 1 and 3: sd sqrt 2, standard error 1, quantile of t with one degree of freedom 12.7062.
    assert found["low"].values[0] == pytest.approx(2 - 12.7062, abs=1e-4)
    assert found["high"].values[0] == pytest.approx(2 + 12.7062, abs=1e-4)


def test_differences_agree_with_welch_of_scipy():
    random = np.random.default_rng(0)
    first, second = random.normal(1, 2, 30), random.normal(0, 0.5, 11)
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    _, low, high = welch(first, second)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    # Two classes and one number: one comparison, so the interval is that one.
    found = by_class(values(np.concatenate([first, second])), members(*[[1, 0]] * 30, *[[0, 1]] * 11))
    assert found["apart_low"].values.tolist() == pytest.approx([expected.low, -expected.high], abs=1e-12)


def test_many_comparisons_widen_the_intervals_and_constant_cells_are_not_counted():
    random = np.random.default_rng(1)
    table = random.normal(size=(60, 2, 2))
    table[:, 0, 0] = 1.0
    inside = members(*[[1, 0, 0]] * 20, *[[0, 1, 0]] * 20, *[[0, 0, 1]] * 20)
    found = by_class(values(table, "modality", "modality_attended"), inside)
    # Three classes and three cells that vary: 9 comparisons.
    _, low, high = welch(table[:20, 1, 1], table[20:, 1, 1], 0.05 / 9)
    assert found["apart_low"].values[0, 1, 1] == pytest.approx(low)
    assert found["apart_high"].values[0, 1, 1] == pytest.approx(high)
    assert found["apart"].values[:, 0, 0].tolist() == found["apart_low"].values[:, 0, 0].tolist() == [0, 0, 0]


def test_a_sample_may_be_in_several_classes_and_is_then_not_among_the_others():
    found = by_class(values([1, 2, 6]), members([1, 1], [0, 1], [1, 0]))
    assert found["mean"].values.tolist() == [3.5, 1.5]
    assert found["apart"].values.tolist() == [1.5, -4.5]


def test_one_class_and_single_samples_have_no_interval():
    alone = by_class(values([[1, 2], [3, 4]], "modality", modality=NAMES), members([1], [1]))
    assert np.isnan(alone["apart"].values).all() and alone["mean"].values.tolist() == [[2, 3]]
    one = by_class(values([1, 2, 4]), members([1, 0], [0, 1], [0, 1]))
    assert np.isnan(one["low"].values[0]) and np.isnan(one["apart_low"].values).all()
    assert one["apart"].values.tolist() == [-2, 2]


def test_what_is_missing_is_left_out():
    found = by_class(values([[1, np.nan], [3, 5]], "modality", modality=NAMES), members([1], [1]))
    assert found["mean"].values.tolist() == [[2, 5]]
    mean, low, high = interval(np.array([[np.nan], [np.nan]]))
    assert np.isnan([mean[0], low[0], high[0]]).all()


def test_seeds_are_what_intervals_are_over_where_there_are_several():
    tables = [by_class(values([a, b]), members([1, 0], [0, 1])) for a, b in ((1, 5), (3, 5), (2, 8))]
    found = by_class_over_seeds(tables)
    assert found["mean"].values.tolist() == [2, 6]
    assert found["apart"].values.tolist() == [-4, 4]
    expected = interval(np.array([-4.0, -2.0, -6.0]))
    assert found["apart_low"].values[0] == pytest.approx(expected[1])
    assert (found.attrs["unit"], found.attrs["seeds"], found["n"].values.tolist()) == ("seed", 3, [3, 3])
    assert by_class_over_seeds(tables[:1]) is tables[0]


def test_a_class_that_a_seed_lacks_has_the_other_seeds():
    first = by_class(values([1, 5]), members([1, 0], [0, 1], names=["a", "b"]))
    second = by_class(values([3, 4]), members([1], [1], names=["a"]))
    found = by_class_over_seeds([first, second]).sel({"class": "b"})
    assert float(found["mean"]) == 5 and int(found["n"]) == 1


def test_classes_are_those_of_the_task(toy, toy_classes, toy_labels):
    signs = classes_of(toy)
    assert signs["class"].values.tolist() == ["negative", "positive"]  # no score of it is exactly 0
    np.testing.assert_array_equal(signs.sel({"class": "negative"}), toy["test"].target.numpy() < 0)
    assert classes_of(toy_classes).sum("class").values.tolist() == [1] * 40
    labels = classes_of(toy_labels, "valid")
    np.testing.assert_array_equal(labels.values, toy_labels["valid"].target.numpy() > 0)


def test_taps_of_a_whole_split_stand_in_its_order(toy):
    model = methods.build("awf", {"hidden_size": 8, "post_size": 5}, toy.spec, seed=1)
    model.train()
    seen = record_split(model, toy, "*.alpha", batch_size=7)["fusion.attention.alpha"]
    assert model.training
    assert seen.dims == ("sample", "modality") and seen["sample"].values.tolist() == toy["test"].ids
    whole = record_split(model, toy, "*.alpha", batch_size=1000)["fusion.attention.alpha"]
    np.testing.assert_allclose(seen, whole, atol=1e-6)


def test_a_tap_that_is_no_value_a_sample_is_refused(toy):
    model = methods.build("awf", {"hidden_size": 8, "post_size": 5}, toy.spec, seed=1)

    class Twice(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.seen = inner, Tap("batch", "feature")

        def forward(self, balanced, z, context):
            self.seen(z["text"]), self.seen(z["audio"])
            return self.inner(balanced, z, context)

    model.fusion = Twice(model.fusion)
    with pytest.raises(ConfigError, match=r"the tap fusion\.seen does not give one value a sample"):
        record_split(model, toy, "fusion.seen")
    with pytest.raises(ConfigError, match="tap"):
        record_split(model, toy, "nothing.*")


def test_tables_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match=r"by_class got values of shape \(2,\) for members of shape \(1, 1\)"):
        by_class(values([1, 2]), members([1]))
    with pytest.raises(DataError, match="by_class_over_seeds got no table"):
        by_class_over_seeds([])


def test_what_is_found_is_drawn_and_said():
    random = np.random.default_rng(2)
    inside = members(*[[1, 0]] * 50, *[[0, 1]] * 50, names=["negative", "positive"])
    table = random.normal(0.3, 0.02, (100, 2, 2))
    table[:50, 0, 1] += 0.2
    found = by_class(values(table, "modality", "modality_attended", modality=NAMES, modality_attended=NAMES), inside)
    for figure in (matrices_by_class(found), modality_graph(found)):
        assert "differs by class (2 classes of 2)" in caption_of(figure)
    assert "No class found to differ" in caption_of(gates_by_class(found["mean"].to_dataset().assign(found).isel(modality_attended=0)))
