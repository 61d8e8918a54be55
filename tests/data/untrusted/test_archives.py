import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import tracemalloc
import zipfile

import pytest

from workbench.data.untrusted.archives import unpack
from workbench.errors import DataError

FILES = {"dataset/1.json": b'{"genres": []}', "dataset/deep/er/1.jpeg": bytes(3_000_000), "readme": b"", "inner.zip": b"PK\x03\x04"}


def tar(members: dict[str, bytes], *special: tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in special:
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    return made.getvalue()


def zipped(members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def run(tmp_path, content: bytes, **bounds: int):
    archive = tmp_path / "data.archive"
    archive.write_bytes(content)
    return unpack(archive, tmp_path / "out" / "data", **bounds)


def refused(tmp_path, content: bytes, match: str, **bounds: int) -> DataError:
    """It is refused, and nothing is left: in the folder, beside it or above it."""
    with pytest.raises(DataError, match=match) as caught:
        run(tmp_path, content, **bounds)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left in (["data.archive", "out"], ["data.archive"])
    return caught.value


MAKERS = {
    "tar": tar,
    "tar.gz": lambda members: gzip.compress(tar(members)),
    "tar.bz2": lambda members: bz2.compress(tar(members)),
    "tar.xz": lambda members: lzma.compress(tar(members)),
    "zip": zipped,
    "stored zip": lambda members: zipped(members, zipfile.ZIP_STORED),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_files_are_unpacked(tmp_path, kind):
    folder = run(tmp_path, MAKERS[kind](FILES | {"./dotted/x": b"y", "names with ... dots..": b"z"}))
    assert folder == tmp_path / "out" / "data"
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == FILES | {"dotted/x": b"y", "names with ... dots..": b"z"}
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


def test_folders_and_modes(tmp_path):
    info = special("dataset", tarfile.DIRTYPE)
    program = tarfile.TarInfo("run")
    program.mode = 0o4777
    folder = run(tmp_path, tar({}, special(".", tarfile.DIRTYPE), info, special("dataset/a/b", tarfile.DIRTYPE), program))
    assert (folder / "dataset/a/b").is_dir() and (folder / "run").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR) == 0
    other = tmp_path / "other"
    other.mkdir()
    assert (run(other, zipped({"a/": b"", "a/b/": b""})) / "a/b").is_dir()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a/../x", "..", "a\\..\\x", "C:/x", "/".join("a" * 65)])
@pytest.mark.parametrize("make", [tar, zipped])
def test_paths_that_leave_the_folder(tmp_path, make, name):
    error = refused(tmp_path, make({"good": b"1", name: b"2"}), "would lie outside of the folder; nothing was unpacked")
    assert "data.archive" in error.where


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "good"),
        (tarfile.LNKTYPE, "good"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_links_and_devices(tmp_path, kind, target):
    refused(tmp_path, tar({"good": b"1"}, special("link", kind, target)), "a member is a link, a device or sparse")


def test_link_and_encryption_in_a_zip(tmp_path):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path, made.getvalue(), "a member is a link or device")
    locked = bytearray(zipped({"a": b"1"}))
    directory = locked.rindex(b"PK\x01\x02")
    locked[directory + 8] |= 1
    refused(tmp_path, bytes(locked), "a member is encrypted")


def test_members_that_stand_twice(tmp_path):
    twice = io.BytesIO()
    with tarfile.open(fileobj=twice, mode="w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("a"))
    refused(tmp_path, twice.getvalue(), "this member stands twice")
    refused(tmp_path, tar({"a": b"1", "a/b": b"2"}), "cannot be unpacked")
    refused(tmp_path, tar({"a" * 300: b"1"}), "cannot be unpacked.*File name too long")
    refused(tmp_path, tar({".": b"1"}), "a file has no name")


@pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_bombs(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("workbench.data.untrusted.archives.SPARE", 1_000_000)
    content = MAKERS[kind]({f"{i}": bytes(1_500_000) for i in range(2)})
    assert len(content) < 10_000
    if kind == "zip":  # It says its sizes beforehand: nothing is unpacked to find out.
        monkeypatch.delattr("workbench.data.untrusted.archives._Target.write")
    refused(tmp_path, content, r"it unpacks to far more than its [\d,]+ bytes; nothing was unpacked")


@pytest.mark.parametrize("kind", MAKERS)
def test_bounds(tmp_path, kind):
    content = MAKERS[kind](FILES)
    refused(tmp_path, content, "unpacks to far more", most_bytes=3_000_000)
    refused(tmp_path, content, "there are too many files", most_count=3)
    run(tmp_path, content, most_bytes=3_000_018, most_count=4)


def test_zip_that_claims_less_than_it_has(tmp_path):
    content = bytearray(zipped({"a": bytes(100_000)}))
    for start, at in ((content.index(b"PK\x03\x04"), 22), (content.rindex(b"PK\x01\x02"), 24)):
        content[start + at : start + at + 4] = struct.pack("<I", 10)
    refused(tmp_path, bytes(content), "cannot be unpacked.*Bad CRC-32")


def test_a_header_of_gigabytes_and_a_long_gap(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.data.untrusted.archives.SPARE", 30_000_000)
    # A further header (pax) that claims gigabytes, which packs well; tarfile would read it at once.
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 40_000_000
    content = gzip.compress(info.tobuf(tarfile.USTAR_FORMAT) + bytes(40_000_000))
    tracemalloc.start()
    try:
        refused(tmp_path, content, r"cannot be unpacked.*a header of [\d,]+ bytes")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    refused(tmp_path, gzip.compress(tar({"a": b"1"}) + bytes(40_000_000)), "unpacks to far more", most_count=10)


@pytest.mark.parametrize("kind", MAKERS)
def test_cut_and_changed_archives(tmp_path, kind):
    content = MAKERS[kind]({f"{i}.txt": bytes(range(256)) * 20 for i in range(3)})
    for size in (len(content) // 2, len(content) - 8 if kind != "tar" else 4_000):
        refused(tmp_path, content[:size], rf"data.archive cannot be unpacked, it has {size:,} bytes")
    if kind not in ("tar", "stored zip"):
        changed = bytearray(content)
        changed[len(content) // 3] ^= 0xFF
        refused(tmp_path, bytes(changed), "cannot be unpacked")


def test_other_files(tmp_path):
    for content, match in (
        (b"<html>404", r"data.archive is no archive: it is an HTML page \(a dead link\?\), 9 bytes"),
        (b"", "it is an empty file"),
        (b"Rar!\x1a\x07\x00", "it is a rar archive"),
        (b"words", "it is unknown, 5 bytes"),
        (gzip.compress(b"words"), "cannot be unpacked"),
        (zipped({}), "it is an empty zip archive"),
    ):
        refused(tmp_path, content, match)
    with pytest.raises(DataError, match="none.zip is missing"):
        unpack(tmp_path / "none.zip", tmp_path / "out" / "data")
    (tmp_path / "out" / "data").mkdir(parents=True)
    with pytest.raises(DataError, match="the folder data exists already"):
        run(tmp_path, tar(FILES))


def pax(kind: bytes, content: bytes) -> bytes:
    """A further header, padded to whole blocks."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = kind, len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)


def test_a_further_header_with_a_length_beyond_all_numbers(tmp_path):
    refused(tmp_path, pax(tarfile.XHDTYPE, b"99999999999999999999 a=b\n") + tar({"a": b"1"}), "cannot be unpacked")


def entry(key: str, size: int) -> bytes:
    """One entry of a further header."""
    rest = len(f" {key}=\n") + size
    length = next(n for n in range(rest, rest + 20) if n == rest + len(str(n)))
    return f"{length} {key}={'v' * size}\n".encode()


def test_further_headers_are_bounded_together_before_each_file(tmp_path):
    headers = [pax(tarfile.XGLTYPE, entry(f"k{i}", 200_000)) for i in range(6)]
    refused(tmp_path, gzip.compress(b"".join(headers) + tar({"a": b"1"})), r"a header of [\d,]+ bytes, where [\d,]+ are left")
    # Apart they are admitted, and do not stay: 6 files, each behind a global header.
    parts = b"".join(header + tar({f"{i}": b"1" * 3_000_000})[:3_000_832] for i, header in enumerate(headers))
    assert len(list(run(tmp_path, parts + bytes(1024)).iterdir())) == 6


def test_global_headers_do_not_stay(tmp_path, monkeypatch):
    kept = []
    whole = tarfile.TarFile.next
    monkeypatch.setattr(tarfile.TarFile, "next", lambda archive: kept.append(len(archive.pax_headers)) or whole(archive))
    parts = [pax(tarfile.XGLTYPE, entry(f"k{i}", 10)) + tar({f"{i}": b"1"})[:1024] for i in range(6)]
    run(tmp_path, b"".join(parts) + bytes(1024))
    assert max(kept) <= 1
