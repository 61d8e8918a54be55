import re

import numpy as np
import pytest

from workbench.data.untrusted.pickles import describe, mapping, numbers, strings
from workbench.errors import DataError


def test_numbers_from_all_that_people_pickle():
    for value in (
        [[1, 2], [3, 4]],
        ((1, 2), (3, 4)),
        np.array([[1, 2], [3, 4]]),
        [np.array([1, 2]), np.array([3, 4])],
        np.array([[1, 2], [3, 4]], dtype=object),
        [np.array([1, 2], dtype=object), [3, 4]],
        [[np.int64(1), 2], [3, np.int32(4)]],
        np.array([[1, 2], [3, 4]], dtype=">i4"),
    ):
        found = numbers(value, where="x")
        assert found.tolist() == [[1, 2], [3, 4]] and found.dtype.kind == "i" and found.dtype.isnative
    stacked = np.empty(2, dtype=object)
    stacked[:] = [np.ones((2, 3)), np.zeros((2, 3))]
    assert numbers(stacked, where="x").shape == (2, 2, 3)
    assert numbers(1.5, where="x").shape == () and numbers(np.float32(2), where="x") == 2
    assert numbers([1, 2.5], where="x").tolist() == [1, 2.5] and numbers([True, False], where="x").tolist() == [1, 0]
    given = np.ones(3, np.float32)
    assert numbers(given, where="x") is given


def test_numbers_that_are_none():
    laughs: list = [1] * 10
    for _ in range(7):
        laughs = [laughs] * 10
    deep: list = [1]
    for _ in range(9):
        deep = [deep]
    endless: list = []
    endless.append(endless)
    big = np.ones(1 << 17)
    for value, match, where in (
        ("abc", "here is text, not a number", "labels"),
        ([1, None], "here is None, not a number", r"labels\[1\]"),
        ([[1, 2], [3, "x"]], "here is text, not a number", r"labels\[1\]\[1\]"),
        ([[1, 2], [3]], "1 items here, 2 before", r"labels\[1\]"),
        ([[1, 2], 3], "here is a int, before it are lists", r"labels\[1\]"),
        ([1, [2]], "here is a list, not a number", r"labels\[1\]"),
        ([np.ones(2), np.ones(3)], "the array is 3 here, 2 before", r"labels\[1\]"),
        ([np.ones(2), 1], "here is a int, before it are arrays", r"labels\[1\]"),
        ([np.ones(2), np.array(["a", "b"])], "an array of <U1, not of numbers", r"labels\[1\]"),
        ([], "this is empty", "labels"),
        ([[], []], "this is empty", r"labels\[0\]"),
        (np.zeros((0, 3)), "an empty array, 0 x 3", "labels"),
        (np.array(["a"]), "an array of <U1, not of numbers", "labels"),
        ({"a": 1}, "here is a dictionary, not a number", "labels"),
        ([1j], "here is a complex, not a number", r"labels\[0\]"),
        ([1 << 70], "does not fit into 64 bits", r"labels\[0\]"),
        (deep, "nested deeper than 8", "labels"),
        (endless, "nested deeper than 8", "labels"),
        (laughs, "the lists hold 9,999,990 items that are repeats of others", "labels"),
        ([np.ones(1_000_000)] * 1000, "the lists hold 8,000,000,000 bytes of numbers", "labels"),
        ([np.ones(1 << 17)] * 130, "the lists hold one array again and again, 135,266,304 bytes", "labels"),
        ([big[:], big.reshape(2, -1).reshape(-1)] * 65, "the lists hold one array again and again", "labels"),
        ([[0] * 50_000] * 82, "the lists hold 4,050,000 items that are repeats of others", "labels"),
        ([[[0] * 50_000] * 2] * 41, "the lists hold 4,050,000 items that are repeats of others", "labels"),
    ):
        with pytest.raises(DataError, match=match) as caught:
            numbers(value, where="labels", expected="one number a sample")
        assert re.fullmatch(where, caught.value.where) and "one number a sample" in caught.value.expected


def test_numbers_in_lists_are_bounded(monkeypatch):
    monkeypatch.setattr("workbench.data.untrusted.pickle_values.LEAVES", 5)
    assert numbers([[1, 2], [3, 4]], where="x").shape == (2, 2)
    with pytest.raises(DataError, match="the lists hold 6 items"):
        numbers([[1, 2], [3, 4], [5, 6]], where="x")


def test_strings_from_all_that_people_pickle():
    for value in (
        ["a", "é"],
        ("a", "é"),
        [b"a", "é".encode()],
        [b"a", "é".encode("latin-1")],
        np.array(["a", "é"]),
        np.array([b"a", "é".encode()]),
        np.array(["a", b"\xe9"], dtype=object),
        [["a"], ["é"]],
        np.array([["a"], ["é"]]),
        [np.str_("a"), np.bytes_(b"\xe9")],
        [np.array(["a"]), np.array([b"\xc3\xa9"])],
    ):
        found = strings(value, where="x")
        assert found == ["a", "é"] and all(type(text) is str for text in found)


def test_strings_that_are_none():
    for value, match in (
        ("abc", "this is text"),
        (None, "this is None"),
        ([], "this is empty"),
        (np.array([], dtype=object), "this is empty"),
        (np.array([1.5]), "this is an array of 1 float64"),
        (np.array("a"), "this is an array of 1 <U1"),
        (["a", 5], "here is a int, not text"),
        (["a", ["b", "c"]], "here is a list, not text"),
        ([b"aaaa"] * 10, "more than 30 letters"),
        (["aaaa"] * 10, "more than 30 letters"),
        ([np.str_("aaaa")] * 10, "more than 30 letters"),
    ):
        with pytest.raises(DataError, match=match):
            strings(value, where="file, id", most=30)
    with pytest.raises(DataError) as caught:
        strings(["a", 5], where="file, id")
    assert caught.value.where == "file, id[1]"


def test_strings_are_bounded():
    with pytest.raises(DataError, match="this text has 100,001 letters") as caught:
        strings(["a", "a" * 100_001], where="file, id")
    assert caught.value.where == "file, id[1]"
    text, packed = "a" * 100_000, [np.array(["a" * 100_000])] * 42
    assert strings([text] * 41, where="x") == [text] * 41
    for value in ([text] * 42, [[text] for _ in range(42)], [np.array([text], dtype=object) for _ in range(42)], [text.encode()] * 42, packed):
        with pytest.raises(DataError, match=r"more than 4,000,000 letters that are repeats of others") as caught:
            strings(value, where="file, id")
        assert caught.value.where == "file, id[41]"
    # Each its own text: however many.
    assert len(strings([np.array([text]) for _ in range(50)], where="x")) == 50
    assert len(strings([f"{i}{text[10:]}" for i in range(50)], where="x")) == 50
    with pytest.raises(DataError, match="this has 5,000,001 rows"):
        strings([""] * 5_000_001, where="x")
    with pytest.raises(DataError, match="this has 6,000,000 rows"):
        strings(np.zeros(6_000_000, "S1"), where="x")


def test_mapping_names_what_is_missing():
    assert mapping({b"text": 1, 3: 2}, where="x", keys=["text"]) == {"text": 1, 3: 2}
    assert mapping({}, where="x") == {}
    with pytest.raises(DataError, match=r'the key "valid" is missing. Did you mean vaild\?') as caught:
        mapping({"train": 1, "vaild": 2}, where="data.pkl", keys=["train", "valid"])
    assert caught.value.where == "data.pkl" and caught.value.expected == "a dictionary with train, valid; there are: train, vaild"
    with pytest.raises(DataError, match=r'the key "a" is missing'):
        mapping(dict.fromkeys(range(500), 1), where="data.pkl", keys=["a"])
    with pytest.raises(DataError, match="this is a list"):
        mapping([], where="data.pkl", keys=["train"])


def test_describe_says_what_a_pickle_has():
    value = {
        "train": {"text": np.zeros((4, 50, 8), np.float32), "id": ["a", "b"], "n": 3, "empty": []},
        b"valid": [np.zeros(3), (1, 2), None],
        "name": "abc",
        "rows": {f"d{i}": np.zeros((2, 3)) for i in range(3)},
        "\x1b[2J": np.float32(1.5),
        "many": [np.zeros(2)] * 20,
        "set": {1},
    }
    assert describe(value, depth=2) == [
        "train/text: array 4 x 50 x 8 float32",
        "train/id: list of 2, first: text",
        "train/n: int 3",
        "train/empty: empty list",
        "valid[0]: array 3 float64",
        "valid[1]: tuple of 2, first: int",
        "valid[2]: None",
        "name: text of 3",
        "rows/d0: array 2 x 3 float64",
        "rows/d1: array 2 x 3 float64",
        "rows/d2: array 2 x 3 float64",
        "?[2J: float32 1.5",
        "many: list of 20, first: array 2 float64",
        "set: set of 1, first: int",
    ]
    assert describe(value, depth=1)[0] == "train: dictionary of 4, first: array 4 x 50 x 8 float32"
    assert describe({str(i): i for i in range(100)}, lines=3) == ["0: int 0", "1: int 1", "2: int 2", "... and more than 3 lines"]
    laughs: list = [1]
    for _ in range(40):
        laughs = [laughs, laughs]
    assert len(describe(laughs)) < 62 and len(describe(laughs, depth=60)) == 61
