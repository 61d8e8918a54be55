import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from workbench.data.untrusted.hdf5 import attribute, member, names, open_file, read
from workbench.errors import DataError


@pytest.fixture
def path(tmp_path):
    """One file with everything that is read, and everything that is not."""
    path = tmp_path / "data.h5"
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.arange(3.0)
    (tmp_path / "secret.bin").write_bytes(bytes(12))
    with h5py.File(path, "w") as file:
        file["COVAREP/data/video[0]/features"] = np.arange(6, dtype=np.float32).reshape(3, 2)
        file["big_endian"] = np.arange(3, dtype=">i4")
        file["flags"] = np.array([True, False])
        file["bytes"] = np.array([b"ab", b"c"])
        file["words"] = ["sp", "été"]
        file["one_word"] = "sp"
        file["one"] = 1.5
        lists = file.create_dataset("lists", (4,), h5py.vlen_dtype("i4"))
        for i, values in enumerate(([1, 2], [], [3], [4, 5, 6])):
            lists[i] = values
        file["soft"] = h5py.SoftLink("/one")
        file["dangling"] = h5py.SoftLink("/nothing")
        file["external"] = h5py.ExternalLink("other.h5", "secret")
        file["references"] = np.array([file["one"].ref], dtype=h5py.ref_dtype)
        file["regions"] = np.array([file["bytes"].regionref[:1]], dtype=h5py.regionref_dtype)
        file.create_dataset("stored_elsewhere", (3,), "f4", external=[(str(tmp_path / "secret.bin"), 0, 12)])
        layout = h5py.VirtualLayout((3,), "f8")
        layout[:] = h5py.VirtualSource("other.h5", "secret", (3,))
        file.create_virtual_dataset("view", layout)
        file["type"] = np.dtype("f4")
        file["records"] = np.zeros(2, [("a", "f4")])
        file["nothing"] = h5py.Empty("f4")
        file.create_dataset("bomb", (1_000_000, 1_000), "f4", chunks=(1000, 1000), compression="gzip")
        file.create_dataset("wide", (4, 1 << 28), "i1", chunks=(1, 1 << 28)).attrs["target_names"] = json.dumps(["Drama", "Comedy"])
        file.create_dataset("piece", (1 << 28,), "i8", chunks=((1 << 28) - 1,)).id.write_direct_chunk((0,), bytes(2_000_000))
        attributes = file["one"].attrs
        attributes.update({"number": [1, 2], "reference": file["one"].ref, "bytes": np.bytes_(b"ab"), "words": ["a", "b"]})
        attributes["none"] = h5py.Empty("f4")
        attributes.create("many", ["a"] * 1_500, dtype=h5py.string_dtype())
    return path


def found(path: Path, name: str, *rows: object, **bounds: int) -> np.ndarray:
    with open_file(path) as file:
        return read(member(file, name), *rows, **bounds)


def test_numbers_and_text_are_read(path):
    features = found(path, "COVAREP/data/video[0]/features")
    assert features.tolist() == [[0, 1], [2, 3], [4, 5]] and features.dtype == np.float32
    assert found(path, "COVAREP/data/video[0]/features", slice(1, 9)).tolist() == [[2, 3], [4, 5]]
    assert found(path, "big_endian").tolist() == [0, 1, 2] and found(path, "big_endian").dtype.isnative
    assert found(path, "flags").tolist() == [True, False]
    assert found(path, "bytes").tolist() == [b"ab", b"c"]
    assert found(path, "words").tolist() == [b"sp", "été".encode()]
    assert found(path, "words", slice(1, 2)).tolist() == ["été".encode()]
    assert found(path, "one_word").item() == b"sp" and found(path, "one") == 1.5
    assert [values.tolist() for values in found(path, "lists")] == [[1, 2], [], [3], [4, 5, 6]]
    assert [values.tolist() for values in found(path, "lists", slice(2, None))] == [[3], [4, 5, 6]]


def test_nested_member_from_a_group(path):
    with open_file(path) as file:
        group = member(file, "COVAREP/data")
        assert list(group) == ["video[0]"] and member(group, "video[0]/features").shape == (3, 2)


REFUSED = {
    "soft": '"soft" is a link to /one, which is not followed',
    "dangling": '"dangling" is a link to /nothing, which is not followed',
    "external": '"external" is a link to other.h5:secret, which is not followed',
    "references": "this holds references to other places, which are not followed",
    "regions": "this holds references to other places, which are not followed",
    "stored_elsewhere": r'"stored_elsewhere" lies in another file, .*secret\.bin, which is not opened',
    "view": '"view" is a view of other data sets, which is not followed',
    "type": '"type" is neither a group nor a data set',
    "records": r"this holds \[\('a', '<f4'\)\]",
    "nothing": "this has no values",
    "bomb": "this would unpack to 4,000,000,000 bytes, from 0 stored",
    "piece": "this is packed in pieces of 2,147,483,640 bytes",
    "COVAREP": "this is a group",
    "COVAREP/date": r'there is no "date"\. Did you mean data\?',
    "one/x": '"x" is looked for in a data set',
    "/one": r'there is no ""\.',
    "COVAREP/../one": r'there is no "\.\."\.',
    "nothing_here": r'there is no "nothing_here"',
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_in_the_file_is_refused(path, name):
    with pytest.raises(DataError, match=REFUSED[name]) as caught:
        found(path, name)
    assert caught.value.where.startswith(f"{path}, /")


def test_links_are_not_opened(path, tmp_path):
    # A link to a file that is no HDF5 would be another error, if it were opened.
    with h5py.File(path, "a") as file:
        file["pipe"] = h5py.ExternalLink(str(tmp_path / "secret.bin"), "/x")
        file["folder"] = h5py.SoftLink("/external")
    for name in ("pipe", "folder/x"):
        with pytest.raises(DataError, match="is a link to"):
            found(path, name)


def test_rows_and_bytes_are_bounded(path):
    with pytest.raises(DataError, match="the rows have 24 bytes"):
        found(path, "COVAREP/data/video[0]/features", most=23)
    assert found(path, "COVAREP/data/video[0]/features", slice(0, 1), most=8).tolist() == [[0, 1]]
    for rows, name in ((slice(0, 2, 2), "flags"), (slice(0, 1), "one")):
        with pytest.raises(DataError, match="are asked for"):
            found(path, name, rows)


def test_one_long_value_in_many_rows(path, monkeypatch):
    monkeypatch.setattr("workbench.data.untrusted.hdf5.SPARE", -path.stat().st_size + 20)
    with pytest.raises(DataError, match="this unpacks to more bytes than the file has") as caught:
        found(path, "lists")
    assert caught.value.where.endswith("/lists, row 0")


def test_attributes(path):
    with open_file(path) as file:
        one = member(file, "one")
        assert json.loads(attribute(member(file, "wide"), "target_names")) == ["Drama", "Comedy"]
        assert attribute(one, "number").tolist() == [1, 2] and attribute(one, "bytes") == "ab"
        assert attribute(one, "words").tolist() == ["a", "b"]
        for name, match in (
            ("reference", "this holds object"),
            ("none", "this holds float32"),
            ("numbers", r'there is no attribute "numbers"\. Did you mean number\?'),
            ("many", "this has 1,500 parts"),
        ):
            with pytest.raises(DataError, match=match):
                attribute(one, name)
        with pytest.raises(DataError, match="this has 2 parts"):
            attribute(one, "number", most=15)


def test_files_that_are_cut_off_or_something_else(path, tmp_path):
    content = path.read_bytes()
    broken = tmp_path / "broken.h5"
    for data, match in (
        (content[: len(content) // 2], rf"broken.h5 is cut off: it has {len(content) // 2:,} of {len(content):,} bytes"),
        (content[:40], "cannot be read as HDF5, it has 40 bytes"),
        (b"<html>404", r"broken.h5 is no HDF5 file: it is an HTML page \(a dead link\?\), 9 bytes"),
        (b"", "it is an empty file"),
        (b"words" * 100, "cannot be read as HDF5, it has 500 bytes: .*file signature not found"),
    ):
        broken.write_bytes(data)
        with pytest.raises(DataError, match=match), open_file(broken):
            pass
    with pytest.raises(DataError, match="none.h5 is missing"), open_file(tmp_path / "none.h5"):
        pass


def test_damaged_values(path, tmp_path):
    broken = tmp_path / "broken.h5"
    with h5py.File(broken, "w") as file:
        data = file.create_dataset("x", (100,), "f4", chunks=(100,), compression="gzip")
        data.id.write_direct_chunk((0,), b"this is not packed")
    with pytest.raises(DataError, match="this cannot be read: ") as caught:
        found(broken, "x")
    assert caught.value.where == f"{broken}, /x"


def test_damaged_structure_is_an_error_or_data(tmp_path):
    whole = tmp_path / "whole.h5"
    with h5py.File(whole, "w") as file:
        file["a/b"] = np.arange(10)
    content = whole.read_bytes()
    broken = tmp_path / "broken.h5"
    rng = np.random.default_rng(0)
    for _ in range(200):
        changed = bytearray(content)
        for at in rng.integers(0, len(content), 8):
            changed[at] = rng.integers(256)
        broken.write_bytes(changed)
        try:
            found(broken, "a/b")
        except DataError:
            continue


def test_names_of_a_group(path):
    with open_file(path) as file:
        assert names(member(file, "COVAREP/data")) == ["video[0]"]
        assert {"soft", "external", "one"} <= set(names(file))
        with pytest.raises(DataError, match=r"this group has 2\d members") as caught:
            names(file, most=20)
        assert caught.value.where == f"{path}, /" and caught.value.expected == "at most 20"
        with pytest.raises(DataError, match="this is a data set"):
            names(member(file, "one"))


def test_names_that_are_not_in_utf8(path):
    with h5py.File(path, "a") as file:
        h5py.h5g.create(file.id, b"v\xe9")
    with open_file(path) as file, pytest.raises(DataError, match=r"the name b'v\\xe9' is not in UTF-8"):
        names(file)


def test_names_of_a_damaged_group(tmp_path):
    whole = tmp_path / "whole.h5"
    with h5py.File(whole, "w") as file:
        for i in range(20):
            file.create_group(f"a/video{i}")
    content = whole.read_bytes()
    tree = [i for i in range(len(content)) if content.startswith(b"TREE", i)]
    broken, failed = tmp_path / "broken.h5", 0
    for at in [place + offset for place in tree for offset in range(8)]:
        changed = bytearray(content)
        changed[at] ^= 1
        broken.write_bytes(changed)
        try:
            with open_file(broken) as file:
                names(member(file, "a"))
        except DataError:
            failed += 1
    assert failed


def test_one_reading_is_bounded(tmp_path):
    path = tmp_path / "long.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (135_000, 1_000), "f4", chunks=(1000, 1000), compression="gzip")
    with pytest.raises(DataError, match="the rows have 540,000,000 bytes") as caught:
        found(path, "x")
    assert caught.value.do == "read it in parts"
    assert found(path, "x", slice(0, 10)).shape == (10, 1_000)
