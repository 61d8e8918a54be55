"""Images from strangers: JPEG and PNG only, their pixels counted before they are unpacked."""

import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workbench.data.untrusted.looks import looks_like
from workbench.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

PIXELS = 50_000_000
SCANS = 100  # A JPEG comes in one scan, or (progressive) in some ten; each goes over all pixels.
PIECE = 1 << 20
EXPECTED = "a whole JPEG or PNG image"


def read_image(path: Path, *, size: tuple[int, int], most_pixels: int = PIXELS) -> np.ndarray:
    """An image as float32 `channel height width` in 0 to 1: red, green, blue, resized with antialiasing; transparency is left out.

    Args:
        path: the file.
        size: width and height of the result [pixels].
        most_pixels: pixels that the file may have.

    Raises:
        DataError: missing, neither JPEG nor PNG, more pixels or scans than admitted, cut off or damaged (with the file's size).
    """
    from PIL import Image

    path = Path(path)
    try:
        # Pillow warns of many pixels; here they are counted, and it is an error.
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("JPEG", "PNG")) as image:
            if image.width * image.height > most_pixels:
                raise _too_large(path, f"{image.width:,} x {image.height:,} pixels", most_pixels)
            if image.format == "JPEG":
                _check_scans(path)
            image.load()
            scaled = _scaled(image, size)
    except FileNotFoundError:
        raise DataError(f"{path.name} is missing", where=str(path), expected=EXPECTED) from None
    except Image.DecompressionBombError:
        raise _too_large(path, "hundreds of millions of pixels", most_pixels) from None
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError, struct.error, zlib.error) as error:
        raise _damaged(path, error) from None
    return np.asarray(scaled, dtype=np.float32).transpose(2, 0, 1) / np.float32(255)


def _check_scans(path: Path) -> None:
    """Counts the marks at which scans begin: a small file may go over its pixels thousands of times."""
    scans, last = 0, b""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            scans += (last + piece).count(b"\xff\xda")
            last = piece[-1:]
    if scans > SCANS:
        raise DataError(f"{path.name} goes over its pixels {scans:,} times", where=str(path), expected=f"a JPEG image of at most {SCANS} scans")


def _scaled(image: "Image.Image", size: tuple[int, int]) -> "Image.Image":
    """Grey, palette, transparent, CMYK and 16-bit images as red, green, blue of 8 bits, of the size asked for."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion would clip it. It is made small first.
        grey = np.asarray(image.resize(size, Image.Resampling.BICUBIC)).astype(np.float64) / 257
        return Image.fromarray(np.clip(grey.round(), 0, 255).astype(np.uint8)).convert("RGB")
    coloured = image if image.mode == "RGB" else image.convert("RGB")
    return coloured.resize(size, Image.Resampling.BICUBIC)


def _too_large(path: Path, what: str, most_pixels: int) -> DataError:
    return DataError(f"{path.name} has {what}", where=str(path), expected=f"an image of at most {most_pixels:,} pixels")


def _damaged(path: Path, error: Exception) -> DataError:
    """The error for a file that Pillow does not decode: what else it is, or where it breaks off."""
    try:
        kind, size = looks_like(path), path.stat().st_size
    except OSError as other:
        return DataError(f"{path.name} cannot be read: {other.strerror}", where=str(path), expected=EXPECTED)
    if kind not in ("a JPEG image", "a PNG image"):
        return DataError(
            f"{path.name} is no JPEG or PNG image: it is {kind or 'of another kind'}, {size:,} bytes", where=str(path), expected=EXPECTED
        )
    do = "get the file again, and compare its size"
    return DataError(f"{path.name} is cut off or damaged, it has {size:,} bytes: {str(error)[:120]}", where=str(path), expected=EXPECTED, do=do)
