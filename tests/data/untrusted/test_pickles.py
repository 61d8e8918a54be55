import contextlib
import gzip
import pickle
import struct
import tracemalloc
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from workbench.data.untrusted.pickles import load_pickle, release
from workbench.errors import DataError

PROTOCOLS = range(6)


def load(folder: Path, content: bytes) -> object:
    path = folder / "content.pkl"
    path.write_bytes(content)
    return load_pickle(path)


def text1(text: str) -> bytes:
    """SHORT_BINUNICODE."""
    return b"\x8c" + bytes([len(text)]) + text.encode()


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


DTYPE_STATE = b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def dtype(code: str) -> bytes:
    """The instructions for a dtype, as numpy writes it in protocol 2."""
    return name("numpy", "dtype") + b"U" + bytes([len(code)]) + code.encode() + b"\x89\x88\x87R" + DTYPE_STATE


OBJECT_DTYPE = name("numpy", "dtype") + b"U\x02O8\x89\x88\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb"
RECONSTRUCT = name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray") + b"K\x00\x85U\x01b\x87R"


def array(shape: bytes, kind: bytes, content: bytes, order: bytes = b"\x89") -> bytes:
    """The instructions for an array: an empty one, then its state."""
    return RECONSTRUCT + b"(K\x01" + shape + kind + order + content + b"tb"


SIMPLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
WHOLE_KEYS = st.integers(1 - 2**60, 2**60 - 1)  # Larger ones are refused: many of them can have one and the same hash.
KEYS = st.text() | WHOLE_KEYS | st.binary() | st.tuples(WHOLE_KEYS, st.text())
ARRAYS = st_numpy.arrays(
    st_numpy.boolean_dtypes()
    | st_numpy.integer_dtypes(endianness="?")
    | st_numpy.unsigned_integer_dtypes(endianness="?")
    | st_numpy.floating_dtypes(endianness="?")
    | st_numpy.complex_number_dtypes()
    | st_numpy.byte_string_dtypes()
    | st_numpy.unicode_string_dtypes(),
    st_numpy.array_shapes(min_dims=0, min_side=0, max_side=4),
)
PLAIN = st.recursive(
    SIMPLE | ARRAYS | st.complex_numbers(allow_nan=False) | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner)
        | st.sets(KEYS)
        | st.frozensets(KEYS)
        | st.dictionaries(KEYS, inner).map(OrderedDict)
        | st.dictionaries(KEYS, inner).map(lambda made: defaultdict(list, made))
    ),
    max_leaves=20,
)


def same(found: object, expected: object) -> None:
    """Equal in value and type, all the way down."""
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype.newbyteorder("=") and found.shape == expected.shape
        if expected.dtype.kind == "O":
            for one, other in zip(found.ravel(), expected.ravel(), strict=True):
                same(one, other)
        else:
            np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            same(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    else:
        assert found == expected


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(value=PLAIN, protocol=st.sampled_from(PROTOCOLS))
def test_plain_data_comes_back_as_pickle_reads_it(tmp_path, value, protocol):
    content = pickle.dumps(value, protocol)
    same(load(tmp_path, content), pickle.loads(content))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("old", [False, True])
def test_numpy_values_of_both_module_paths(tmp_path, protocol, old):
    value = {
        "scalars": [np.float32(1.5), np.int64(-3), np.bool_(True), np.str_("é"), np.bytes_(b"a"), np.float64("nan"), np.str_("")],
        "objects": np.array([["a", None], [np.arange(3), [1, {"b": 2}]]], dtype=object),
        "many axes": np.zeros((1,) * 20),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "turned": np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
        "strided": np.arange(10)[::2],
        "big-endian": np.arange(4, dtype=">f8"),
        "empty": np.zeros((0, 5)),
        "dtype": np.dtype(">i2"),
    }
    content = pickle.dumps(value, protocol)
    if old:
        if protocol >= 4:  # The names are counted: one byte less, and no frame to count them.
            content = content.replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
            content = content.replace(b"\x8c\x13numpy._core.numeric", b"\x8c\x12numpy.core.numeric")
        else:
            content = content.replace(b"numpy._core.", b"numpy.core.")
        assert b"numpy.core.multiarray" in content
    found = load(tmp_path, content)
    expected = pickle.loads(pickle.dumps(value, protocol))
    assert found["scalars"].pop(5) != found["scalars"][0] and expected["scalars"].pop(5) is not None
    assert found.pop("dtype") == expected.pop("dtype")
    same(found, expected)
    assert found["turned"].strides == expected["turned"].strides


def test_pickles_of_python_2(tmp_path):
    # {'caf\xe9': array([1.5, 2.5], dtype=float32), u'\xe9': 7L, 'set': set([1])}, as cPickle.dump(..., 2) writes it.
    raw = struct.pack("<2f", 1.5, 2.5)
    content = b"\x80\x02}q\x01(U\x04caf\xe9q\x02" + array(b"K\x02\x85", dtype("f4"), b"U\x08" + raw) + b"q\x03"
    content += b"X\x02\x00\x00\x00\xc3\xa9\x8a\x01\x07U\x03set" + name("__builtin__", "set") + b"]K\x01a\x85Rq\x04u."
    found = load(tmp_path, content)
    assert list(found) == ["café", "é", "set"] and found["é"] == 7 and found["set"] == {1}
    assert found["café"].tolist() == [1.5, 2.5] and found["café"].dtype == np.float32
    expected = pickle.loads(content, encoding="latin1")
    np.testing.assert_array_equal(found["café"], expected["café"])


def test_protocol_0_of_python_2(tmp_path):
    # (lp0 of cPickle: quoted text with escapes, long numbers with L, floats as text, true and false as I01 and I00.
    content = (
        b"(lp1\nS'it\\'s \\xe9'\np2\naS\"a'b\"\naI01\naI00\naI-5\naL12345678901234567890L\naF1.5\naV\\u20ac\np3\nag3\na(dp4\nS'k'\nNs(I1\nI2\nta."
    )
    expected = ["it's é", "a'b", True, False, -5, 12345678901234567890, 1.5, "€", "€", {"k": None}]
    content = content.replace(b"s(I1\nI2\nta.", b"sa(I1\nI2\ntp5\na(lp6\na.")
    assert load(tmp_path, content) == [*expected, (1, 2), []]
    same(load(tmp_path, content), pickle.loads(content, encoding="latin1"))


def test_shared_and_self_containing_lists(tmp_path):
    inner = [1]
    inner.append(inner)
    found = load(tmp_path, pickle.dumps({"a": inner, "b": inner}))
    assert found["a"] is found["b"] and found["a"][1] is found["a"]


def test_deeply_nested_lists_need_no_recursion(tmp_path):
    content = b"]" * 200_000 + b"a" * 199_999 + b"."
    found = load(tmp_path, content)
    depth = 0
    while found:
        found, depth = found[0], depth + 1
    assert depth == 199_999


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_long_arrays_stay_in_the_file(tmp_path, protocol):
    value = {"f": np.arange(1_000_000, dtype=np.float32).reshape(1000, 1000), "F": np.asfortranarray(np.ones((600, 600)))}
    path = tmp_path / "long.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    tracemalloc.start()
    try:
        found = load_pickle(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found["f"], value["f"])
    np.testing.assert_array_equal(found["F"], value["F"])
    assert found["F"].flags.f_contiguous
    assert not found["f"].flags.writeable
    if protocol >= 3:  # Before, numpy writes bytes as text, which must be encoded.
        assert peak < 200_000
        release(found["f"])
        np.testing.assert_array_equal(found["f"][::100], value["f"][::100])


def test_long_array_of_python_2_stays_in_the_file(tmp_path):
    raw = np.arange(300_000, dtype="<i8")
    content = (
        b"\x80\x02"
        + array(b"J" + struct.pack("<i", 300_000) + b"\x85", dtype("i8"), b"T" + struct.pack("<i", raw.nbytes) + raw.tobytes() + b"q\x01")
        + b"."
    )
    path = tmp_path / "old.pkl"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        found = load_pickle(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(found, raw)
    assert peak < 200_000


def test_short_arrays_may_be_written_to(tmp_path):
    for protocol in PROTOCOLS:
        found = load(tmp_path, pickle.dumps(np.arange(5), protocol))
        found += 1
        assert found.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_long_bytes_and_texts_in_containers(tmp_path, protocol):
    long = bytes(range(256)) * 5000
    value = {"b": long, "t": (long, ("x", long)), "l": [long], "a": bytearray(long), "s": "é" * 1_000_000, long: 1}
    content = pickle.dumps(value, protocol)
    same(load(tmp_path, content), pickle.loads(content))


def test_long_text_of_python_2(tmp_path):
    long = bytes(range(256)) * 5000
    found = load(tmp_path, b"\x80\x02]T" + struct.pack("<i", len(long)) + long + b"a.")
    assert found == [long.decode("latin-1")]


def test_release_leaves_other_arrays_alone():
    values = np.arange(5)
    release(values[1:])
    assert values.tolist() == [0, 1, 2, 3, 4]


def test_many_small_objects_are_read_in_seconds(tmp_path):
    value = [{"a": float(i), "b": f"s{i}", "c": [i, i + 1]} for i in range(30_000)]
    assert load(tmp_path, pickle.dumps(value, 4)) == value


WHOLE = pickle.dumps({"train": {"text": np.ones((20, 30), np.float32), "id": ["a", "b"], "n": 1.5}}, 2)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_every_cut_is_an_error_with_the_size(tmp_path, protocol):
    content = pickle.dumps({"train": {"text": np.ones((3, 2), np.float32), "id": ["a", "b"], "n": 1.5, "f": {1}, "b": b"x"}}, protocol)
    for size in range(1, len(content), 1 if protocol == 5 else 5):
        with pytest.raises(DataError, match=rf"cut off: it has {size:,} bytes") as caught:
            load(tmp_path, content[:size])
        assert "download it again" in caught.value.do


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_changed_bytes_give_data_or_a_data_error(tmp_path, data):
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DataError):
        load(tmp_path, bytes(content))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    codes=st.lists(
        st.sampled_from([bytes([i]) for i in range(256)] + [b"K\x01", b"](", b"U\x01a", dtype("i1"), RECONSTRUCT, name("builtins", "set")])
    )
)
def test_random_instructions_give_data_or_a_data_error(tmp_path, codes):
    with contextlib.suppress(DataError):
        load(tmp_path, b"\x80\x02" + b"".join(codes) + b".")


DAMAGED = {
    "nothing on the stack": (b".", "nothing to work on"),
    "nothing for a tuple": (b"\x85.", "nothing to work on"),
    "nothing to remember": (b"\x94.", "nothing to work on"),
    "nothing to double": (b"2.", "nothing to work on"),
    "no container": (b"(K\x01e.", "nothing to work on"),
    "below the mark": (b"K\x01(0\x85(R.", "nothing to work on"),
    "no mark": (b"]t.", "a mark that is not there"),
    "no such part": (b"h\x05.", "refers to its part 5, which is not there"),
    "a key without a value": (b"}(K\x01u.", "a key without a value"),
    "append to a dictionary": (b"}K\x01a.", "fills a dict as if it were a list; refused"),
    "setitem on a list": (b"]K\x01K\x02s.", "fills a list as if it were a dict; refused"),
    "add to a list": (b"](K\x01\x90.", "fills a list as if it were a set; refused"),
    "text without quotes": (b"Sabc\n.", "a text without quotes"),
    "no number": (b"Iabc\n.", "the pickle is damaged: invalid literal"),
    "no UTF-8": (b"X\x01\x00\x00\x00\xff.", "the pickle is damaged: 'utf-8' codec"),
    "later protocol": (b"\x80\x09.", "of protocol 9, known are 0 to 5"),
    "no such instruction": (b"\x80\x02\xff.", "no instruction is 0xff"),
    "bytes that do not fit": (array(b"K\x03\x85", dtype("f4"), b"U\x04abcd") + b".", r"4 bytes for an array of the shape \(3\) and the type float32"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files(tmp_path, kind):
    content, match = DAMAGED[kind]
    with pytest.raises(DataError, match=match):
        load(tmp_path, content)


def test_files_of_another_kind_are_named(tmp_path):
    path = tmp_path / "data.pkl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    zipped = path.read_bytes()
    for content, match in (
        (b"", "it is an empty file, 0 bytes"),
        (b"\n<!DOCTYPE html><html>Not found", r"it is an HTML page \(a dead link\?\), 31 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a git-lfs pointer: the file itself was not downloaded"),
        (zipped, r"a zip archive \(npz files and files of torch.save are such\)"),
        (gzip.compress(WHOLE), "it is compressed with gzip"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02", "it is a file of torch.save"),
        (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file"),
        (b'{"train": 1}', "it is a json document"),
        (bytes(2000), r"nothing but zeros \(an interrupted download\?\)"),
        (bytes(257) + b"ustar" + bytes(300), "it is a tar archive"),
        (b"words of a text", r"no instruction is 0x77"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=match):
            load_pickle(path)
    path.write_bytes(gzip.compress(WHOLE))
    with pytest.raises(DataError, match="unpack it first"):
        load_pickle(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match="nothing.pkl is missing"):
        load_pickle(tmp_path / "nothing.pkl")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        load_pickle(tmp_path)
