"""Real handwritten digits, three views of one image: the pixels, a stroke profile from top to bottom, and a spectrum.

The views are computed from the same 8 x 8 pixels, so that nothing here is synergy: they differ in what an encoder can easily see.
"""

from pathlib import Path

import numpy as np
import torch

from workbench.data.arrays import modality_spec
from workbench.data.batch import Column, Dataset, Spec, Split
from workbench.data.card import DataCard
from workbench.errors import DataError

SEED = 0
"""The splits are the first, next and last rows of one permutation by this seed: the same for everybody."""


def read(card: DataCard, root: Path) -> Dataset:
    """The 1797 digits that come with scikit-learn, cut into the card's splits; the root is not needed.

    Raises:
        DataError: the splits of the card do not add up to the digits that there are.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)
    sizes = [count or 0 for count in card.splits.values()]
    if sum(sizes) != len(images):
        raise DataError(f"{card.name}: the splits add up to {sum(sizes)}", where=card.place("splits"), expected=f"{len(images)} digits in all")
    order = np.random.default_rng(SEED).permutation(len(images))
    views = {"image": images[:, None], "stroke": stroke(images), "spectrum": spectrum(images)}
    splits = {}
    for name, rows in zip(card.splits, np.split(order, np.cumsum(sizes)[:-1]), strict=True):
        columns = {key: Column.from_list(list(values[rows])) if key == "stroke" else Column.from_rows(values[rows]) for key, values in views.items()}
        splits[name] = Split(name, columns, torch.from_numpy(digits.target[rows].astype(np.int64)), [f"digit_{row:04d}" for row in rows])
    kinds = {"image": "image", "stroke": "sequence", "spectrum": "vector"}
    specs = {key: modality_spec(kind, (split.columns[key] for split in splits.values())) for key, kind in kinds.items()}
    return Dataset(card.name, Spec(specs, card.task.spec()), splits)


def stroke(images: np.ndarray) -> np.ndarray:
    """What a pen leaves on the way from the top row to the bottom row.

    Args:
        images: `samples 8 8`, ink in 0 to 1.

    Returns:
        `samples 8 5`: for each row its mean ink; where the ink is (centre, 0 left to 1 right); how wide it is (standard deviation, in
        widths of the image); the ink of the darkest pixel; how many strokes are crossed (runs of pixels darker than 0.3, in fours).
        A row without ink has the centre 0.5 and zeros.
    """
    place = (np.arange(images.shape[2]) + 0.5) / images.shape[2]
    ink = images.sum(2)
    weight = images / np.maximum(ink, 1e-9)[..., None]
    centre = np.where(ink > 0, (weight * place).sum(2), 0.5)
    width = np.sqrt((weight * (place - centre[..., None]) ** 2).sum(2))
    is_dark = images > 0.3
    runs = is_dark[..., 0] + (is_dark[..., 1:] & ~is_dark[..., :-1]).sum(2)
    return np.stack([images.mean(2), centre, width, images.max(2), runs / 4], axis=2).astype(np.float32)


def spectrum(images: np.ndarray) -> np.ndarray:
    """Magnitudes of the two-dimensional Fourier transform, `samples 40`: how much of each fineness and direction, not where."""
    return (np.abs(np.fft.rfft2(images)) / 8).reshape(len(images), -1).astype(np.float32)
