import numpy as np
import pytest

from workbench.data import load
from workbench.data.card import DataCard, card
from workbench.data.readers.digits import read, spectrum, stroke
from workbench.errors import ConfigError, DataError
from workbench.fitting import fit


def test_stroke_of_an_image_by_hand():
    image = np.zeros((1, 8, 8), np.float32)
    image[0, 0, 0] = image[0, 0, 7] = 1  # Two strokes at the edges.
    image[0, 1, 2:4] = 0.5  # One, two pixels wide.
    rows = stroke(image)[0]
    assert rows.shape == (8, 5)
    assert rows[0].tolist() == pytest.approx([0.25, 0.5, 7 / 16, 1, 0.5])
    assert rows[1].tolist() == pytest.approx([0.125, 3 / 8, 1 / 16, 0.5, 0.25])
    assert rows[2].tolist() == [0, 0.5, 0, 0, 0]


def test_spectrum_forgets_where_but_not_how_much():
    image = np.random.default_rng(0).random((1, 8, 8))
    assert spectrum(image).shape == (1, 40)
    assert spectrum(image)[0, 0] == pytest.approx(image.sum() / 8)
    assert spectrum(np.roll(image, (2, 3), axis=(1, 2))) == pytest.approx(spectrum(image), abs=1e-5)


def test_digits_load_in_fixed_splits():
    data, again = load("digits"), load("digits")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 1197, "valid": 300, "test": 300}
    assert [spec.kind for spec in data.spec.modalities.values()] == ["image", "sequence", "vector"]
    assert data["test"].ids == again["test"].ids
    every = [name for split in data.splits.values() for name in split.ids]
    assert len(set(every)) == 1797
    assert sorted(set(data["train"].target.tolist())) == list(range(10))


def test_views_show_the_same_digit():
    from sklearn.datasets import load_digits

    data = read(card("digits"), None)
    row = int(data["test"].ids[5].removeprefix("digit_"))
    digits = load_digits()
    assert data["test"].target[5] == digits.target[row]
    assert data["test"].columns["image"][5][0, 0].numpy() == pytest.approx(digits.images[row] / 16)
    assert data["test"].columns["stroke"][5][:, 0].numpy() == pytest.approx(digits.images[row].mean(1) / 16)
    assert data["test"].columns["spectrum"][5][0, 0].item() == pytest.approx(digits.images[row].sum() / 16 / 8, rel=1e-5)


def test_other_counts_presets_and_options_are_refused(tmp_path):
    text = card("digits").path.read_text().replace("train: 1197", "train: 1000")
    (tmp_path / "digits.md").write_text(text)
    with pytest.raises(DataError, match=r"the splits add up to 1600(.|\n)*1797 digits"):
        read(DataCard.load(tmp_path / "digits.md"), tmp_path)
    with pytest.raises(ConfigError, match='digits has no presets, got "big"'):
        load("digits/big")
    with pytest.raises(ConfigError, match='unknown option "seed"'):
        load("digits", seed=1)


def test_mldfa_reads_image_stroke_and_spectrum_by_their_own_networks(tmp_path):
    data = load("digits")
    sizes = {"hidden_size": 8, "encoder_heads": 2, "encoder_layers": 1, "heads": 2}
    run = fit("mldfa", data, config=sizes, plan={"epochs": 2, "batch_size": 32, "learning_rate": 3e-3, "is_traced": False}, runs=tmp_path)
    networks = {name: type(encoder).__name__ for name, encoder in run.model().encoders.items()}
    assert networks == {"image": "PatchTransformer", "stroke": "ConvLSTMSteps", "spectrum": "MeanMLP"}
    assert run.metrics["test"]["accuracy"] > 0.3, "ten classes, a tenth by chance"
