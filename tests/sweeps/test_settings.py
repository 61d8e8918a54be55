"""Which settings a sampler tries."""

import pytest

from workbench.errors import ConfigError
from workbench.sweeps.ranges import Range, plain
from workbench.sweeps.settings import choose_sampler, grouped, listed_settings, random_settings, say, unseen
from workbench.sweeps.space import Space, shown

LISTED = {"a": Range("a", (1, 2, 3)), "plan.b": Range("plan.b", ("x", "y"))}
SPAN = {"a": Range("a", (), 0.0, 1.0), "plan.b": Range("plan.b", ("x", "y"))}


def test_grid_is_every_combination_once():
    assert listed_settings("grid", LISTED, {}, None) == [{"a": a, "plan.b": b} for a in (1, 2, 3) for b in ("x", "y")]


def test_each_varies_one_at_a_time_and_trains_what_two_lines_share_once():
    settings = listed_settings("each", LISTED, {"a": 2, "plan.b": "x"}, None)
    # a: 1, 2, 3 with b=x; b: x, y with a=2; (2, x) lies on both lines.
    assert settings == [{"a": 1, "plan.b": "x"}, {"a": 2, "plan.b": "x"}, {"a": 3, "plan.b": "x"}, {"a": 2, "plan.b": "y"}]


def test_each_takes_the_base_for_the_others_also_where_it_is_not_listed():
    settings = listed_settings("each", LISTED, {"a": 9, "plan.b": "x"}, None)
    assert {"a": 9, "plan.b": "x"} in settings
    assert {"a": 9, "plan.b": "y"} in settings
    assert len(settings) == 5


def test_random_grows_and_repeats_nothing():
    few, more = random_settings(SPAN, 5), random_settings(SPAN, 9)
    assert more[:5] == few
    assert len({plain(setting) for setting in more}) == 9


def test_random_over_lists_ends_where_there_is_no_other_combination():
    settings = random_settings(LISTED, 50)
    assert sorted(map(plain, settings)) == sorted(map(plain, listed_settings("grid", LISTED, {}, None)))
    assert unseen(LISTED, {plain(setting): setting for setting in settings}, 0) is None


@pytest.mark.parametrize(
    ("sampler", "trials", "ranges", "expected"),
    [(None, None, LISTED, "grid"), (None, 5, LISTED, "tpe"), (None, 5, SPAN, "tpe"), ("random", 5, SPAN, "random"), ("each", None, LISTED, "each")],
)
def test_the_sampler_follows_from_the_ranges(sampler, trials, ranges, expected):
    assert choose_sampler(sampler, trials, ranges) == expected


@pytest.mark.parametrize(
    ("sampler", "trials", "ranges", "words"),
    [
        ("grid", None, SPAN, "a has a span"),
        ("each", None, SPAN, "a has a span"),
        ("grid", 5, LISTED, "trials=5 is for random and tpe"),
        ("tpe", None, LISTED, "needs a number of trials"),
        (None, None, SPAN, "needs a number of trials"),
        ("random", 0, LISTED, "needs a number of trials"),
        ("cmaes", 3, LISTED, "unknown sampler"),
    ],
)
def test_a_sampler_that_cannot_is_refused(sampler, trials, ranges, words):
    with pytest.raises(ConfigError, match=words):
        choose_sampler(sampler, trials, ranges)


def test_settings_by_owner_and_in_words():
    setting = {"hidden_size": 8, "plan.learning_rate": 0.00123456, "balance.rate": 1}
    assert grouped(setting) == {"config": {"hidden_size": 8}, "plan": {"learning_rate": 0.00123456}, "balance": {"rate": 1}}
    assert say(setting) == "hidden_size=8, plan.learning_rate=0.001235, balance.rate=1"


@pytest.mark.parametrize("learns", [False, True])
def test_settings_survive_the_study(learns):
    ranges = {"n": Range("n", (4, 8)), "x": Range("x", (0.5, 1.0)), "w": Range("w", ("p", None, "q")), "d": Range("d", ({}, {"k": [1]}))}
    space = Space(ranges, {}, learns)
    for setting in listed_settings("grid", ranges, {}, None):
        parameters = space.encode(setting)
        for key, distribution in space.distributions().items():
            assert distribution._contains(distribution.to_internal_repr(parameters[key]))
        if learns:
            assert space.decode(parameters) == setting


def test_numbers_stand_as_numbers_and_others_as_their_place():
    space = Space({"n": Range("n", (4, 8)), "w": Range("w", ("p", "q"))}, {"n": 6, "w": "z"}, False)
    assert space.encode({"n": 6, "w": "z"}) == {"n": 6, "w": 2}
    assert space.encode({"n": 8, "w": "q"}) == {"n": 8, "w": 1}


def test_pictures_have_log_axes_where_numbers_span_a_factor_of_eight():
    space = Space({"n": Range("n", (16, 128)), "m": Range("m", (16, 64)), "w": Range("w", ("p", "q"))}, {}, False)
    distributions = space.shown_distributions([{"n": 16, "m": 16, "w": "p"}])
    assert distributions["n"].log
    assert not distributions["m"].log
    assert distributions["w"].choices == ("p", "q")
    assert shown({"a": [1, 2], "b": None}) == {"a": "[1, 2]", "b": None}
