"""Errors for people: four parts, near names, and whole after a trip between processes."""

import pickle

import pytest

from workbench.errors import ConfigError, DataError, MissingDataError, SealedError, TrainingError, WorkbenchError, near, unknown


def test_the_message_has_a_line_for_each_part_that_is_known():
    error = WorkbenchError("3 columns, expected 4", where="a.csv, row 7", expected="id, text, label, score", do="fetch it again")
    assert str(error).splitlines() == [
        "3 columns, expected 4",
        "  in        a.csv, row 7",
        "  expected  id, text, label, score",
        "  do        fetch it again",
    ]
    assert str(WorkbenchError("no such thing")) == "no such thing"
    assert str(WorkbenchError("no such thing", do="look again")).splitlines() == ["no such thing", "  do        look again"]


def test_the_parts_are_there_for_json():
    assert WorkbenchError("a", where="b", do="d").as_dict() == {"error": "a", "where": "b", "expected": "", "do": "d"}


@pytest.mark.parametrize("kind", [DataError, MissingDataError, ConfigError, SealedError, TrainingError])
def test_every_kind_can_be_caught_as_one(kind):
    with pytest.raises(WorkbenchError, match="wrong"):
        raise kind("wrong")


def test_missing_data_is_a_data_error():
    with pytest.raises(DataError, match="not here"):
        raise MissingDataError("not here")


def test_an_error_survives_the_trip_between_processes():
    error = TrainingError("the loss became nan", where="epoch 3", expected="a finite loss", do="lower the rate")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is TrainingError
    assert str(copy) == str(error)
    assert copy.as_dict() == error.as_dict()


def test_near_names():
    known = ["lf_dnn", "lf_lstm", "awf"]
    assert near("lf_dn", known) == " Did you mean lf_dnn?"
    assert near("AWFUL WEATHER", known) == ""
    assert near("lf", []) == ""


def test_two_near_names_are_both_said():
    assert near("hidden_siz", ["hidden_size", "hidden_sizes", "dropout"]) == " Did you mean hidden_size or hidden_sizes?"


def test_unknown_takes_any_iterable_and_names_all():
    error = unknown("method", "lf_dn", iter(["lf_dnn", "awf"]), do="workbench list methods")
    assert isinstance(error, ConfigError)
    assert error.as_dict() == {
        "error": 'unknown method "lf_dn". Did you mean lf_dnn?',
        "where": "",
        "expected": "one of lf_dnn, awf",
        "do": "workbench list methods",
    }
