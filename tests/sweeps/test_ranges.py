"""What is swept: names, values, spans, and the fields' own limits."""

import math

import numpy as np
import pytest

from workbench.errors import ConfigError
from workbench.sweeps.ranges import Range, full_name, owners, read_ranges


def read(over, method="lf_dnn", rule=None):
    return read_ranges(over, method, rule)


def one(key, wanted, method="lf_dnn"):
    (found,) = read({key: wanted}, method).values()
    return found


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("hidden_size", "hidden_size"),
        ("hidden", "hidden_size"),
        ("learning_rate", "plan.learning_rate"),
        ("plan.learning_rate", "plan.learning_rate"),
        ("batch", "plan.batch_size"),
        ("drop", "dropout"),
        ("layers", "layers"),
        ("balance.rate", "balance.rate"),
    ],
)
def test_a_name_means_the_method_s_field_then_the_plan_s_then_the_only_one_that_starts_so(name, full):
    assert full_name(name, owners("lf_dnn", "b_fusion")) == full


def test_a_start_of_the_method_s_fields_wins_over_one_of_the_plan_s():
    # mult has `layers`; the plan has `learning_rate`, `loss`: `l` is of the method.
    assert full_name("lay", owners("mult", None)) == "layers"
    assert full_name("lea", owners("mult", None)) == "plan.learning_rate"


def test_an_ambiguous_start_names_its_fields():
    with pytest.raises(ConfigError, match=r"start of several.*\n.*plan\.probe_every|start of several") as error:
        full_name("clip", owners("lf_dnn", None))
    assert "plan.clip_norm, plan.clip_value" in str(error.value)


def test_the_settings_of_a_rule_that_is_not_on_are_refused():
    with pytest.raises(ConfigError, match="no balancing rule is on"):
        full_name("balance.rate", owners("lf_dnn", None))


@pytest.mark.parametrize("name", ["hiden_size", "plan.lr", "x"])
def test_an_unknown_name_is_refused_with_near_ones(name):
    with pytest.raises(ConfigError, match="unknown setting"):
        full_name(name, owners("lf_dnn", None))


@pytest.mark.parametrize("name", ["seed", "plan.seed", "device"])
def test_seed_and_device_are_no_settings(name):
    with pytest.raises(ConfigError, match="no setting to sweep"):
        full_name(name, owners("lf_dnn", None))


def test_values_are_read_as_the_field_takes_them_and_kept_once():
    assert one("hidden", ["64", 128, 64]).values == (64, 128)
    assert one("learning_rate", ["1e-4", 1]).values == (1e-4, 1.0)
    assert one("text", ["frozen", "embedding"]).values == ("frozen", "embedding")
    assert one("clip_norm", [None, 1]).values == (None, 1.0)


@pytest.mark.parametrize(
    ("key", "wanted", "words"),
    [
        ("hidden_size", [0], "greater than or equal to 1"),
        ("dropout", [0.1, 1.0], "less than 1"),
        ("hidden_size", ["wide"], "valid integer"),
        ("hidden_size", [], "no range"),
        ("hidden_size", 64, "no range"),
        ("hidden_size", (128, 64), "no span"),
        ("hidden_size", (1, 2, 3), "no span"),
        ("hidden_size", (1, 99999), "less than or equal to 8192"),
        ("text", (1, 2), "no number"),
        ("dropout", (0, 0.5, "log"), "log scale cannot begin at 0"),
        ("clip_norm", None, "no limits on both sides"),
        ("rates", None, "no limits on both sides"),
    ],
)
def test_what_a_field_does_not_take_is_refused(key, wanted, words):
    with pytest.raises(ConfigError, match=words):
        one(key, wanted)


def test_nothing_and_the_same_thing_twice_are_refused():
    with pytest.raises(ConfigError, match="at least one setting"):
        read({})
    with pytest.raises(ConfigError, match="hidden_size is given twice"):
        read({"hidden": [1], "hidden_size": [2]})


def test_spans():
    found = one("learning_rate", ("1e-4", "1e-2", "log"))
    assert (found.low, found.high, found.is_log, found.is_integer, found.is_listed) == (1e-4, 1e-2, True, False, False)
    found = one("hidden", (8, 64))
    assert (found.low, found.high, found.is_log, found.is_integer) == (8, 64, False, True)


def test_limits_of_the_fields():
    # hidden_size: ge=1, le=8192, whole numbers over a factor of 8192: log.
    found = one("hidden_size", None)
    assert (found.low, found.high, found.is_integer, found.is_log) == (1, 8192, True, True)
    # layers: 1 to 16.
    found = one("layers", None)
    assert (found.low, found.high, found.is_integer, found.is_log) == (1, 16, True, False)
    # dropout: ge=0, lt=1: the end is open.
    found = one("dropout", None)
    assert found.low == 0
    assert found.high == math.nextafter(1, 0)
    assert not found.is_log
    # learning_rate: gt=0, le=100: two decades around the default 1e-3.
    found = one("learning_rate", None)
    assert (found.low, found.high, found.is_log) == (pytest.approx(1e-5), pytest.approx(0.1), True)
    assert one("plan.loss", None).values == ("l1", "mse")
    assert one("is_causal", None, "mult").values == (False, True)


@pytest.mark.parametrize(
    "found",
    [Range("a", (1, "x", None)), Range("b", (), 1, 9, True, False), Range("c", (), 1e-4, 1e-2, False, True), Range("d", (), 1, 64, True, True)],
)
def test_draws_lie_in_the_range_reach_its_ends_and_survive_json(found):
    random = np.random.default_rng(0)
    drawn = [found.draw(random) for _ in range(4000)]
    if found.is_listed:
        assert set(drawn) == {1, "x", None}
    else:
        assert min(drawn) >= found.low
        assert max(drawn) <= found.high
        assert all(type(value) is (int if found.is_integer else float) for value in drawn)
        if found.is_integer:
            assert {int(found.low), int(found.high)} <= set(drawn)
    if found.is_log:
        # Below the geometric mean: half of them; of whole numbers each has its log width: log(7.5 / 0.5) / log(64.5 / 0.5) are below 8.
        share = math.log(15) / math.log(129) if found.is_integer else 0.5
        assert sum(value < math.sqrt(found.low * found.high) for value in drawn) / len(drawn) == pytest.approx(share, abs=0.03)
    assert Range.from_json(found.key, found.as_json()) == found


def test_words_for_people():
    assert Range("a", (1, 2)).text() == "1, 2"
    assert Range("a", (), 1e-4, 0.01, False, True).text() == "0.0001 to 0.01 (log)"
