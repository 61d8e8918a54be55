import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from scipy.signal import get_window

from workbench.data import load, read
from workbench.data.card import DataCard
from workbench.data.readers.av_digits import read as read_card
from workbench.data.readers.av_digits import read_wave
from workbench.data.reading.mel import FLOOR, hertz_to_mel, log_mel, mel_filters, mel_to_hertz
from workbench.errors import ConfigError, DataError
from workbench.fitting import fit

CARD = """---
name: spoken
title: Spoken
task: {kind: multiclass, classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]}
modalities:
  audio: {kind: sequence, size: 40, rate: 100, standardise: true, description: frames}
  image: {kind: image, size: 1, shape: [1, 8, 8], description: digit}
splits: {train: null, valid: null, test: null}
format: av_digits
variants: [official, speaker]
sources: [SOURCES]
licence: none
citation: none
---
Made for a test.
"""
NAMES = [f"{digit}_{speaker}_{index}" for digit in (0, 7) for speaker in ("jackson", "nicolas") for index in (0, 4, 5, 9, 10, 11)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A card with 24 recordings of noise, 0.2 to 0.3 s."""
    random = np.random.default_rng(0)
    for i, name in enumerate(NAMES):
        wavfile.write(tmp_path / f"{name}.wav", 8000, random.integers(-3000, 3000, 1600 + 30 * i).astype(np.int16))
    (tmp_path / "spoken.md").write_text(CARD.replace("SOURCES", ", ".join(f"{{path: {name}.wav}}" for name in NAMES)))
    return tmp_path / "spoken.md"


def test_mel_scale_at_known_points():
    # HTK: 2595 log10(1 + f / 700); 1000 Hz is nearly 1000 mel, and 700 Hz is 2595 log10 2.
    assert hertz_to_mel(torch.tensor([0.0, 700, 1000])).tolist() == pytest.approx([0, 781.17, 999.99], abs=0.01)
    assert mel_to_hertz(hertz_to_mel(torch.tensor([20.0, 440, 4000]))).tolist() == pytest.approx([20, 440, 4000], rel=1e-4)


def test_mel_filters_agree_with_another_implementation():
    audio_utils = pytest.importorskip("transformers.audio_utils")
    theirs = audio_utils.mel_filter_bank(129, 40, 0.0, 4000.0, 8000, norm=None, mel_scale="htk")
    assert mel_filters(40, rate=8000, size=256).numpy() == pytest.approx(theirs.T, abs=1e-5)


def test_mel_filters_are_triangles_that_overlap_by_half():
    filters = mel_filters(20, rate=16000, size=4096, low=300, high=6000)
    edges = [700 * (10 ** (m / 2595) - 1) for m in np.linspace(*[2595 * np.log10(1 + f / 700) for f in (300, 6000)], 22)]
    frequencies = np.linspace(0, 8000, 2049)
    for band in (0, 7, 19):  # Written out as numpy's piecewise linear interpolation.
        assert filters[band].numpy() == pytest.approx(np.interp(frequencies, edges[band : band + 3], [0, 1, 0], left=0, right=0), abs=1e-5)
    inside = (frequencies > edges[1]) & (frequencies < edges[-2])
    assert filters.sum(0)[inside].numpy() == pytest.approx(np.ones(inside.sum()), abs=1e-5)


def test_too_many_bands_are_refused():
    with pytest.raises(ConfigError, match=r"mel band \d+ of 128 holds no frequency(.|\n)*longer than 256"):
        mel_filters(128, rate=8000, size=256)


def test_log_mel_frame_by_frame():
    wave = np.random.default_rng(1).uniform(-1, 1, 1000)
    filters = mel_filters(40, rate=8000, size=256).numpy()
    found = log_mel(torch.from_numpy(wave), rate=8000)
    assert found.shape == (1 + (1000 - 200) // 80, 40)
    window = get_window("hann", 200)  # Periodic, like torch's.
    for t in (0, 5, 10):
        energy = np.abs(np.fft.rfft(wave[80 * t : 80 * t + 200] * window, 256)) ** 2
        assert found[t].numpy() == pytest.approx(np.log(filters @ energy + FLOOR), abs=1e-3)


def test_log_mel_of_silence_and_of_a_tone_and_of_a_short_sound():
    assert log_mel(torch.zeros(400), rate=8000).unique().tolist() == pytest.approx([np.log(1e-6)])
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(4000) / 8000)
    centres = mel_to_hertz(torch.linspace(0, float(hertz_to_mel(torch.tensor(4000.0))), 42))[1:-1]
    band = int(log_mel(tone, rate=8000).mean(0).argmax())
    assert abs(float(centres[band]) - 1000) < 60
    assert log_mel(tone[:50], rate=8000).shape == (1, 40)


def test_splits_pairs_and_groups(path):
    data, again = load(str(path)), load(str(path))
    names = {name: [sample.partition("/")[0] for sample in split.ids] for name, split in data.splits.items()}
    assert {name: sorted({int(sample.rpartition("_")[2]) for sample in found}) for name, found in names.items()} == {
        "train": [10, 11],
        "valid": [5, 9],
        "test": [0, 4],
    }
    assert sorted(sample for found in names.values() for sample in found) == sorted(NAMES)
    images = [sample.partition("/")[2] for split in data.splits.values() for sample in split.ids]
    assert len(set(images)) == len(NAMES)  # No image twice, so none in two splits.
    for split in data.splits.values():
        assert split.groups == [sample.split("_")[1] for sample in split.ids]
        assert split.target.tolist() == [int(sample[0]) for sample in split.ids]
    assert [split.ids for split in data.splits.values()] == [split.ids for split in again.splits.values()]
    assert data.spec.modalities["audio"].rate == 100
    # 1600 samples and 30 more for each file: 1 + (1600 + 30 i - 200) // 80 frames of 10 ms.
    row = data["valid"].ids.index(next(sample for sample in data["valid"].ids if sample.startswith("7_nicolas_9")))
    assert data["valid"].columns["audio"].lengths[row] == 1 + (1600 + 30 * NAMES.index("7_nicolas_9") - 200) // 80
    assert data.notes["reading"] == ["24 recordings of 2 speakers, each with an image of its own (seed 0)"]


def test_images_show_the_digit_that_is_said(path):
    from sklearn.datasets import load_digits

    digits = load_digits()
    for seed in (0, 1):
        for split in load(str(path), seed=seed).splits.values():
            rows = [int(sample.rpartition("_")[2]) for sample in split.ids]
            assert digits.target[rows].tolist() == split.target.tolist()
            assert split.columns["image"].values[:, 0].numpy() == pytest.approx(digits.images[rows] / 16)
    assert load(str(path), seed=1)["train"].ids != load(str(path))["train"].ids


def test_a_speaker_held_out(path):
    official, speaker = load(str(path)), load(str(path), variant="speaker")
    assert set(speaker["test"].groups) == {"nicolas"}
    assert {*speaker["train"].groups, *speaker["valid"].groups} == {"jackson"}
    assert {name: len(split) for name, split in speaker.splits.items()} == {"train": 8, "valid": 4, "test": 12}
    every = [sorted(sample for split in data.splits.values() for sample in split.ids) for data in (official, speaker)]
    assert every[0] == every[1]  # The pairs are the same, only the cut differs.
    with pytest.raises(ConfigError, match=r'unknown variant "speakers"\. Did you mean speaker'):
        load(str(path), variant="speakers")
    with pytest.raises(ConfigError, match='has no variant "odd"(.|\n)*official, speaker'):
        read_card(DataCard.load(path), path.parent, variant="odd")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda file: file.write_bytes(b""), r"7_jackson_5\.wav cannot be read"),
        (lambda file: file.write_bytes(b"RIFX no wav"), r"7_jackson_5\.wav cannot be read"),
        (lambda file: file.write_bytes(file.read_bytes()[:-101]), r"7_jackson_5\.wav (is cut off|cannot be read)"),
        (lambda file: file.write_bytes(file.read_bytes()[:44]), r"7_jackson_5\.wav (is cut off|cannot be read)"),
        (lambda file: file.write_bytes(file.read_bytes()[:20]), r"7_jackson_5\.wav cannot be read"),
        (lambda file: wavfile.write(file, 16000, np.zeros(800, np.int16)), r"16000 Hz, 1 channels, int16(.|\n)*mono, 16 bits, 8000 Hz"),
        (lambda file: wavfile.write(file, 8000, np.zeros((800, 2), np.int16)), r"8000 Hz, 2 channels"),
        (lambda file: wavfile.write(file, 8000, np.zeros(800, np.float32)), r"1 channels, float32"),
        (lambda file: wavfile.write(file, 8000, np.zeros(0, np.int16)), r"7_jackson_5\.wav is empty"),
        (lambda file: wavfile.write(file, 8000, np.zeros(8000 * 61, np.int16)), r"longer than 60 s"),
        (lambda file: file.unlink(), r"7_jackson_5\.wav cannot be read"),
    ],
)
def test_bad_recordings_are_named(path, change, match):
    change(path.parent / "7_jackson_5.wav")
    with pytest.raises(DataError, match=match):
        read_card(DataCard.load(path), path.parent)


def test_recordings_cut_off_at_any_place(path):
    file = path.parent / "7_jackson_5.wav"
    whole = file.read_bytes()
    for end in range(0, len(whole), 211):
        file.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"7_jackson_5\.wav"):
            read_wave(file)


def test_samples_are_shares_of_the_loudest(path):
    wavfile.write(path.parent / "7_jackson_5.wav", 8000, np.array([0, 16384, -32768, 1], np.int16))
    assert read_wave(path.parent / "7_jackson_5.wav").tolist() == [0, 0.5, -1, 1 / 32768]


def test_further_chunks_are_skipped(path):
    file = path.parent / "7_jackson_5.wav"
    whole = file.read_bytes()
    before = read_wave(file)
    extra = b"odd!" + struct.pack("<I", 6) + b"abcdef"
    file.write_bytes(whole[:4] + struct.pack("<I", len(whole) - 8 + len(extra)) + whole[8:] + extra)
    assert read_wave(file).tolist() == before.tolist()


def test_names_numbers_and_empty_splits_are_checked(path):
    text = path.read_text()
    (path.parent / "x_jackson_5.wav").write_bytes((path.parent / "7_jackson_5.wav").read_bytes())
    path.write_text(text.replace("{path: 7_jackson_5.wav}", "{path: x_jackson_5.wav}"))
    with pytest.raises(DataError, match=r"x_jackson_5\.wav is no name of a recording"):
        load(str(path))
    path.write_text(CARD.replace("SOURCES", "{path: 0_jackson_0.wav}"))
    with pytest.raises(DataError, match="no recording is in the split train"):
        load(str(path))
    for index in range(200):
        (path.parent / f"0_jackson_{index}.wav").write_bytes((path.parent / "7_jackson_5.wav").read_bytes())
    path.write_text(CARD.replace("SOURCES", ", ".join(f"{{path: 0_jackson_{index}.wav}}" for index in range(200))))
    with pytest.raises(DataError, match="more recordings of the digit 0 than images(.|\n)*at most 178"):
        load(str(path))


@pytest.fixture(scope="module")
def real() -> Path:
    folder = Path(os.environ.get("WORKBENCH_MIRROR") or Path(__file__).parents[4] / "shared" / "data")
    if not (folder / "fsdd" / "recordings").is_dir():
        pytest.skip(f"no local copy of the Free Spoken Digit Dataset at {folder} (set WORKBENCH_MIRROR)")
    return folder


def eight_bins(data, *splits: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean frame of each eighth of a recording, one after the other; and the digits."""
    rows, digits = [], []
    for split in splits:
        column = data[split].columns["audio"]
        rows += [np.concatenate([part.mean(0) for part in np.array_split(column[i].numpy(), 8)]) for i in range(len(column))]
        digits += data[split].target.tolist()
    return np.stack(rows), np.array(digits)


def test_real_recordings(real):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    sizes, scores = {}, {}
    for variant in ("official", "speaker"):
        data, facts = read(f"av_digits/{variant}", root=real)
        assert "600 of 600 files have the sha256 of the card" in facts
        sizes[variant] = [len(split) for split in data.splits.values()]
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(*eight_bins(data, "train", "valid"))
        scores[variant] = model.score(*eight_bins(data, "test"))
    assert sizes == {"official": [400, 100, 100], "speaker": [250, 50, 300]}
    # The data's README: a log spectrum in 8 time bins and logistic regression get 94 % on the official split, 16 % to 29 % on a new speaker.
    assert scores["official"] >= 0.94
    assert 0.1 < scores["speaker"] < 0.45
    lengths = torch.cat([split.columns["audio"].lengths for split in data.splits.values()]) / 100
    # 0.14 to 0.88 s long, mean 0.43 s; frames begin every 10 ms and end 15 ms before the sound does.
    assert [float(lengths.min()), float(lengths.max()), float(lengths.mean())] == pytest.approx([0.14, 0.88, 0.43], abs=0.03)


def test_mldfa_aligns_nothing_where_a_voice_meets_an_image(path, tmp_path):
    data = load(str(path))
    sizes = {"hidden_size": 4, "encoder_heads": 2, "encoder_layers": 1, "heads": 2}
    run = fit("mldfa", data, config=sizes, plan={"epochs": 1, "batch_size": 4}, runs=tmp_path / "runs")
    networks = {name: type(encoder).__name__ for name, encoder in run.model().encoders.items()}
    assert networks == {"audio": "ConvLSTMSteps", "image": "PatchTransformer"}
    assert run.model().fusion.alignment.reference is None
    assert 0 <= run.metrics["test"]["accuracy"] <= 1
