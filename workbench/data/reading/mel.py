"""Sound as a picture over time: log-mel energies of short frames.

    energies[t, b] = ln( floor + sum_f filter[b, f] |STFT(wave)[t, f]|^2 )

The mel scale is that of HTK, mel = 2595 log10(1 + f / 700 Hz); filters are triangles of height 1 that overlap by half, evenly spaced in mel.
"""

import math

import torch
from torch import Tensor

from workbench.errors import ConfigError

FLOOR = 1e-6
"""Smallest energy before the logarithm, for a wave in -1 to 1: digital silence becomes -13.8 instead of minus infinity."""


def hertz_to_mel(hertz: Tensor) -> Tensor:
    """The HTK mel scale."""
    return 2595 * torch.log10(1 + hertz / 700)


def mel_to_hertz(mel: Tensor) -> Tensor:
    """The inverse of `hertz_to_mel`."""
    return 700 * (10 ** (mel / 2595) - 1)


def mel_filters(bands: int, *, rate: int, size: int, low: float = 0.0, high: float | None = None) -> Tensor:
    """The triangular filters, `band frequency` (`size // 2 + 1` frequencies).

    Args:
        bands: number of filters.
        rate: samples a second [Hz].
        size: length of the Fourier transform.
        low, high: where the first filter begins and the last one ends [Hz]; high: half the rate.

    Raises:
        ConfigError: a filter lies between two frequencies of the transform.
    """
    low_mel, high_mel = hertz_to_mel(torch.tensor([low, rate / 2 if high is None else high], dtype=torch.float64))
    edges = mel_to_hertz(torch.linspace(float(low_mel), float(high_mel), bands + 2, dtype=torch.float64))
    frequencies = torch.linspace(0, rate / 2, size // 2 + 1, dtype=torch.float64)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp(min=0)
    empty = (filters.sum(1) == 0).nonzero()
    if len(empty):
        raise ConfigError(f"mel band {int(empty[0])} of {bands} holds no frequency", expected=f"fewer bands, or a transform longer than {size}")
    return filters.float()


def log_mel(wave: Tensor, *, rate: int, bands: int = 40, window: float = 0.025, hop: float = 0.010) -> Tensor:
    """Log-mel energies of a sound, `time band`.

    Frame t is the `window` seconds from `t * hop` on, under a Hann window; frames that would reach over the end are not made, and a sound shorter
    than one frame is filled up with silence.

    Args:
        wave: `samples`, in -1 to 1.
        rate: samples a second [Hz].
        bands: of the mel scale.
        window, hop: length of a frame, and from frame to frame [s].
    """
    length, step = round(window * rate), round(hop * rate)
    size = 2 ** math.ceil(math.log2(length))
    side = (size - length) // 2
    missing = max(0, length - len(wave))
    # torch.stft puts the window into the middle of its transform: with this padding frame t begins exactly at sample t * step.
    padded = torch.nn.functional.pad(wave.float(), (side, size - length - side + missing))
    spectrum = torch.stft(padded, size, hop_length=step, win_length=length, window=torch.hann_window(length), center=False, return_complex=True)
    energy = mel_filters(bands, rate=rate, size=size) @ spectrum.abs().square()
    return (energy + FLOOR).log().T.contiguous()
