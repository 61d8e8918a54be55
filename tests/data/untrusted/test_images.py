import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from workbench.data.untrusted.images import read_image
from workbench.errors import DataError


def save(folder, image: Image.Image, name: str = "a.png", **options: object):
    path = folder / name
    image.save(path, **options)
    return path


def png(width: int, height: int, *extra: bytes) -> bytes:
    """A PNG whose header claims a size, with further chunks."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [128, 128, 128], [255, 255, 255]]], np.uint8)


def test_colours_come_as_channel_height_width(tmp_path):
    found = read_image(save(tmp_path, Image.fromarray(COLOURS)), size=(3, 2))
    assert found.dtype == np.float32 and found.shape == (3, 2, 3)
    np.testing.assert_allclose(found, COLOURS.transpose(2, 0, 1) / 255, atol=1e-6)


@pytest.mark.parametrize(("mode", "tolerance"), [("L", 0.01), ("P", 0.01), ("RGBA", 0.01), ("LA", 0.01), ("1", 0.01), ("I;16", 0.01), ("CMYK", 0.01)])
def test_other_modes_become_red_green_blue(tmp_path, mode, tolerance):
    grey = np.array([[0, 255], [255, 0]], np.uint8)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
        assert image.mode == "I;16"
    else:
        image = Image.fromarray(grey).convert("RGB").convert(mode)
    path = save(tmp_path, image, "a.jpg" if mode == "CMYK" else "a.png", **({"quality": 100} if mode == "CMYK" else {}))
    found = read_image(path, size=(2, 2))
    np.testing.assert_allclose(found, np.broadcast_to(grey / 255, (3, 2, 2)), atol=tolerance)


def test_16_bit_grey_is_not_clipped(tmp_path):
    path = save(tmp_path, Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)))
    np.testing.assert_allclose(read_image(path, size=(3, 1))[0, 0], [0, 0.5, 1], atol=0.003)


def test_palette_with_transparency(tmp_path):
    image = Image.fromarray(COLOURS).quantize(6)
    path = save(tmp_path, image, transparency=bytes([0, 10, 255]))
    np.testing.assert_allclose(read_image(path, size=(3, 2)), COLOURS.transpose(2, 0, 1) / 255, atol=0.02)


def test_resizing_is_antialiased(tmp_path):
    # A chessboard of single pixels: picking pixels would give black or white, averaging gives grey.
    board = np.indices((64, 64)).sum(0) % 2 * 255
    found = read_image(save(tmp_path, Image.fromarray(board.astype(np.uint8))), size=(8, 4))
    assert found.shape == (3, 4, 8)
    np.testing.assert_allclose(found[:, 1:-1, 1:-1], 0.5, atol=0.03)


def test_pixels_are_counted_before_they_are_unpacked(tmp_path):
    path = tmp_path / "a.png"
    for width, height, match in (
        (10_000, 5_001, "a.png has 10,000 x 5,001 pixels"),
        (12_000, 12_000, "a.png has 12,000 x 12,000 pixels"),  # Pillow only warns of these.
        (60_000, 60_000, "a.png has hundreds of millions of pixels"),
    ):
        path.write_bytes(png(width, height))
        with pytest.raises(DataError, match=match) as caught:
            read_image(path, size=(8, 8))
        assert caught.value.expected == "an image of at most 50,000,000 pixels"
    with pytest.raises(DataError, match="a.png has 3 x 2 pixels"):
        read_image(save(tmp_path, Image.fromarray(COLOURS)), size=(3, 2), most_pixels=5)
    path.write_bytes(png(12_000, 12_000))
    with pytest.raises(DataError, match=r"cut off or damaged"):
        read_image(path, size=(8, 8), most_pixels=150_000_000)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_cut_and_changed_files_are_named_with_their_size(tmp_path, name):
    path = save(tmp_path, Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)), name)
    content = path.read_bytes()
    for size in (4, 10, 30, len(content) // 2, len(content) - 100):
        path.write_bytes(content[:size])
        with pytest.raises(DataError, match=rf"{name} is (cut off or damaged, it has {size:,} bytes|no JPEG or PNG image: .*{size:,} bytes)"):
            read_image(path, size=(8, 8))
    rng = np.random.default_rng(1)
    for _ in range(100):
        changed = bytearray(content)
        for at in rng.integers(0, len(content), 5):
            changed[at] = rng.integers(256)
        path.write_bytes(changed)
        try:
            assert read_image(path, size=(8, 8)).shape == (3, 8, 8)
        except DataError:
            continue


def test_a_text_chunk_that_unpacks_to_much(tmp_path):
    text = b"Comment\x00\x00" + zlib.compress(bytes(80_000_000))
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    path = tmp_path / "a.png"
    path.write_bytes(png(2, 2, chunk))
    with pytest.raises(DataError, match="a.png is cut off or damaged, .*Decompressed data too large"):
        read_image(path, size=(2, 2))


def test_other_formats_are_refused(tmp_path):
    gif = io.BytesIO()
    Image.new("RGB", (2, 2)).save(gif, "GIF")
    for content, match in (
        (gif.getvalue(), "a.jpeg is no JPEG or PNG image: it is a GIF image"),
        (b"<html>404", "it is an HTML page"),
        (b"", "it is an empty file, 0 bytes"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "it is of another kind, 47 bytes"),
    ):
        path = tmp_path / "a.jpeg"
        path.write_bytes(content)
        with pytest.raises(DataError, match=match):
            read_image(path, size=(2, 2))
    with pytest.raises(DataError, match="b.jpeg is missing"):
        read_image(tmp_path / "b.jpeg", size=(2, 2))
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_image(tmp_path, size=(2, 2))


def test_scans_of_a_jpeg_are_counted_before_it_is_unpacked(tmp_path):
    path = save(tmp_path, Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)), "a.jpg", progressive=True)
    content = path.read_bytes()
    last = content[content.rindex(b"\xff\xda") : content.rindex(b"\xff\xd9")]
    own = content.count(b"\xff\xda")
    assert 5 < own < 15
    path.write_bytes(content[:-2] + last * (100 - own) + b"\xff\xd9")
    assert read_image(path, size=(8, 8)).shape == (3, 8, 8)
    path.write_bytes(content[:-2] + last * (101 - own) + b"\xff\xd9")
    with pytest.raises(DataError, match=r"a\.jpg goes over its pixels 101 times") as caught:
        read_image(path, size=(8, 8))
    assert caught.value.expected == "a JPEG image of at most 100 scans"


def test_scans_at_the_ends_of_pieces_count(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.data.untrusted.images.SCANS", 0)
    path = save(tmp_path, Image.fromarray(COLOURS), "a.jpg")
    monkeypatch.setattr("workbench.data.untrusted.images.PIECE", path.read_bytes().index(b"\xff\xda") + 1)
    with pytest.raises(DataError, match=r"a\.jpg goes over its pixels 1 times"):
        read_image(path, size=(8, 8))


def test_a_large_grey_image_of_16_bits_takes_little_memory(tmp_path):
    path = save(tmp_path, Image.fromarray(np.full((3000, 3000), 32768, np.uint16)))
    tracemalloc.start()
    try:
        found = read_image(path, size=(8, 8))
        assert tracemalloc.get_traced_memory()[1] < 30_000_000  # As float64 alone it has 72 MB.
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(found, 0.5, atol=0.003)
