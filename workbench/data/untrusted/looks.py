"""What a file is by its first bytes, for errors that say what was downloaded instead of the data."""

from pathlib import Path

# Each format by the bytes it begins with; of two that fit, the first counts.
BEGINNINGS = (
    (b"version https://git-lfs", "a git-lfs pointer: the file itself was not downloaded"),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a file of torch.save"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ\x00", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"\x04\x22\x4d\x18", "compressed with lz4"),
    (b"PK\x03\x04", "a zip archive (npz files and files of torch.save are such)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a npy file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"%PDF", "a PDF document"),
    (b"PAR1", "a parquet file"),
    (b"CDF", "a netCDF file"),
)
PAGES = (b"<!doctype", b"<html", b"<head", b"<?xml")


def looks_like(path: Path) -> str:
    """What a file looks like by its first bytes (`an HTML page (a dead link?)`); empty where they say nothing.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "an empty file"
    for beginning, kind in BEGINNINGS:
        if start.startswith(beginning):
            return kind
    if start[257:262] == b"ustar":
        return "a tar archive"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(PAGES):
        return "an HTML page (a dead link?)"
    if text.startswith((b'{"', b'[{"')):
        return "a json document"
    return "" if start.strip(b"\x00") else "nothing but zeros (an interrupted download?)"
