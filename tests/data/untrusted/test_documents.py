import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.data.untrusted.documents import read_json, read_table
from workbench.errors import DataError


def write(folder, content: str | bytes, name: str = "a.json"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


TEXT = st.text(st.characters(codec="utf-8"))
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | FINITE | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON, ascii_only=st.booleans(), mark=st.sampled_from([b"", b"\xef\xbb\xbf"]))
def test_json_comes_back(tmp_path, value, ascii_only, mark):
    path = write(tmp_path, mark + json.dumps(value, ensure_ascii=ascii_only).encode())
    assert read_json(path) == value


def test_json_depth_is_bounded_before_it_is_read(tmp_path):
    assert read_json(write(tmp_path, "[" * 64 + "]" * 64))
    with pytest.raises(DataError, match="is nested 65 deep"):
        read_json(write(tmp_path, "[" * 65 + "]" * 65))
    with pytest.raises(DataError, match="is nested 1000000 deep"):
        read_json(write(tmp_path, '{"a":[' * 500_000))
    with pytest.raises(DataError, match="is nested 3 deep"):
        read_json(write(tmp_path, '[[{"a": 1}]]'), depth=2)
    # Brackets in texts are no nesting, whatever is escaped; an open text ends the count, not the program.
    assert read_json(write(tmp_path, json.dumps(["[[[[", '"[[', "\\[[["])), depth=1) == ["[[[[", '"[[', "\\[[["]
    with pytest.raises(DataError, match="no json: Unterminated string"):
        read_json(write(tmp_path, '["' + '\\"[' * 100_000), depth=2)


def test_json_that_is_refused(tmp_path):
    for content, match, where in (
        ("", "a.json is empty, 0 bytes", ""),
        ("  \n", "a.json is empty, 3 bytes", ""),
        ('{"a": NaN}', "a.json has the number NaN", ""),
        ('{"a": -Infinity}', "a.json has the number -Infinity", ""),
        ('{"a": 1e999}', "a.json has the number 1e999", ""),
        ('{"a": 1,\n "a": 2}', 'the key "a" stands twice', ""),
        ('{"a": 1,\n "b" 2}', "a.json is no json: Expecting ':' delimiter", "line 2, column 6"),
        ('{"a": [1, 2', r"no json: .*\(cut off\? it has 11 bytes\)", "line 1"),
        ('{"a": "wor', r"no json: Unterminated string .*\(cut off\? it has 10 bytes\)", "line 1"),
        ("<html>404", r"no json: .*it is an HTML page \(a dead link\?\)", "line 1"),
        ("9" * 5000, "a.json cannot be read: Exceeds the limit", ""),
        (b'{"a":\n "\xe9"}', "a.json is not in UTF-8", "byte 8, line 2"),
        (b'{"a": "caf\xc3', r"a.json breaks off inside a letter, after 11 bytes \(cut off\?\)", "byte 10, line 1"),
        (b"\x1f\x8b\x08\x00\xff", "a.json is not in UTF-8: it is compressed with gzip", ""),
    ):
        path = write(tmp_path, content)
        with pytest.raises(DataError, match=match) as caught:
            read_json(path)
        assert caught.value.where.startswith(str(path)) and where in caught.value.where
    with pytest.raises(DataError, match="a.json has 20 bytes") as caught:
        read_json(write(tmp_path, '"' + "a" * 18 + '"'), most=19)
    assert "at most 19 bytes" in caught.value.expected
    assert read_json(write(tmp_path, '"' + "a" * 18 + '"'), most=20) == "a" * 18
    with pytest.raises(DataError, match="b.json is missing"):
        read_json(tmp_path / "b.json")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_json(tmp_path)


MELD = '\ufeffSr No.,Utterance,Speaker\r\n1,“It’s a \u0092 day”,Chandler\r\n2,"Oh, no\nno ""x""",Joey\r\n\r\n'


def test_table_with_curly_quotes_and_a_mark(tmp_path):
    rows = read_table(write(tmp_path, MELD, "a.csv"), columns=["Utterance", "Sr No."])
    assert rows == [
        {"Sr No.": "1", "Utterance": "“It’s a \u0092 day”", "Speaker": "Chandler"},
        {"Sr No.": "2", "Utterance": 'Oh, no\nno "x"', "Speaker": "Joey"},
    ]


def test_line_ends_of_unicode_are_no_row_ends(tmp_path):
    path = write(tmp_path, "id,text\n1,a\u2028b\u0085c\x0bd\x1ce\n2,f\n", "a.csv")
    assert read_table(path) == [{"id": "1", "text": "a\u2028b\u0085c\x0bd\x1ce"}, {"id": "2", "text": "f"}]


def test_table_that_is_refused(tmp_path):
    for content, match, where in (
        ("id,text\n1,a\n2\n", "a.csv: 1 columns", "line 3, row 1"),
        ("id,text\n1,a,b\n", "a.csv: 3 columns", "line 2, row 0"),
        ("id,texts\n1,a\n", r'the column "text" is missing. Did you mean texts\?', "line 1"),
        ("<!doctype html>\n", r'the column "id" is missing.*it is an HTML page', "line 1"),
        ("id,text,id\n1,a,2\n", 'the column "id" stands twice', "line 1"),
        ("id,text\n", "a.csv has a header and no rows", ""),
        ("", "a.csv is empty", ""),
        ('id,text\n1,"a\n', "a.csv cannot be read: unexpected end of data", "line 2"),
        ("id,text\n1," + "a" * 131_073 + "\n", "field larger than field limit", "line 2"),
        ("id,text\n1,é\n".encode("latin-1"), "a.csv is not in UTF-8", "line 2"),
    ):
        path = write(tmp_path, content, "a.csv")
        with pytest.raises(DataError, match=match) as caught:
            read_table(path, columns=["id", "text"])
        assert where in caught.value.where
    with pytest.raises(DataError, match="a.csv has 12 bytes"):
        read_table(write(tmp_path, "id,text\n1,a\n", "a.csv"), most=11)
    with pytest.raises(DataError, match="b.csv is missing"):
        read_table(tmp_path / "b.csv")


def test_many_names_are_looked_through_once(tmp_path):
    keys = [f"k{i}" for i in range(50_000)] + ["k49999"]
    begin = time.process_time()
    with pytest.raises(DataError, match='the key "k49999" stands twice'):
        read_json(write(tmp_path, "{" + ", ".join(f'"{key}": 1' for key in keys) + "}"))
    with pytest.raises(DataError, match='the column "k9998" stands twice'):
        read_table(write(tmp_path, ",".join([*keys[:9_999], "k9998"]), "a.csv"))
    assert time.process_time() - begin < 0.5  # Each name against all before it takes some ten seconds.
    with pytest.raises(DataError, match="a.csv has 50,001 columns"):
        read_table(write(tmp_path, ",".join(keys), "a.csv"))


def test_rows_and_cells_are_bounded(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"a.csv has more than 500,000 rows of 1 columns"):
        read_table(write(tmp_path, "a\n" + "1\n" * 500_001, "a.csv"))
    with pytest.raises(DataError, match=r"a.csv has more than 400 rows of 10,000 columns"):
        read_table(write(tmp_path, ",".join(f"k{i}" for i in range(10_000)) + ("\n" + "," * 9_999) * 401, "a.csv"))
    with pytest.raises(DataError, match=r"a.csv has 16,777,217 bytes"):
        read_table(write(tmp_path, "a\n" + "1" * (16 * 1024**2 - 1), "a.csv"))
