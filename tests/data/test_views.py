"""Views: options of `load` on any data set."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench.data import load
from workbench.data.alignment_view import averaged, overlap
from workbench.data.batch import Column, Dataset, TaskSpec
from workbench.data.views import View, apply, take_options
from workbench.errors import ConfigError


def made(kind="regression", *, samples=400):
    rng = np.random.default_rng(0)
    targets = {
        "regression": rng.uniform(-3, 3, samples),
        "multiclass": rng.integers(0, 4, samples),
        "multilabel": rng.integers(0, 2, (samples, 3)),
    }
    classes = {"regression": (), "multiclass": tuple("abcd"), "multilabel": tuple("abc")}
    part = {"audio": rng.normal(size=(samples, 5, 2)), "vision": rng.normal(size=(samples, 3)), "target": targets[kind]}
    train = {**part, "groups": [f"video {i // 10}" for i in range(samples)]}
    return Dataset.from_arrays("made", {"train": train, "valid": part, "test": part}, task=TaskSpec(kind, classes=classes[kind]))


def shares(split, name):
    """Share of the steps of a modality that are missing, and of the samples that lost it whole."""
    column = split.columns[name]
    lost = 1 - column.present.float()
    whole = [bool((~column.present[column.offsets[i] : column.offsets[i + 1]]).all()) for i in range(len(column))]
    return float(lost.mean()), sum(whole) / len(whole)


def test_a_modality_is_missing_at_its_rate_and_the_mask_says_so():
    data = apply(View(drop={"audio": 0.3}), made())
    for split in data.splits.values():
        lost, whole = shares(split, "audio")
        assert lost == pytest.approx(whole)
        assert whole == pytest.approx(0.3, abs=0.08)
        assert split.columns["vision"].present is None
        batch = split.batch(torch.arange(50))
        is_away = ~batch["audio"].mask.any(1)
        assert not batch["audio"].values[is_away].any()
        assert batch["audio"].values[~is_away].abs().sum((1, 2)).min() > 0
    assert data.notes["view"] == {"drop": {"audio": 0.3}}


def test_frames_are_missing_at_their_rate_in_the_splits_that_are_named():
    data = apply(View(drop_frames=0.25, drop_in="test"), made())
    assert data["train"].columns["audio"].present is None
    lost, whole = shares(data["test"], "audio")
    assert lost == pytest.approx(0.25, abs=0.04)
    assert whole < 0.02
    assert shares(data["test"], "vision")[0] == pytest.approx(0.25, abs=0.08)


def test_no_sample_loses_everything_unless_all_is_to_go():
    data = apply(View(drop=0.9), made())
    away = [~split.columns[name].present for split in data.splits.values() for name in ("vision",)]
    for split, is_away in zip(data.splits.values(), away, strict=True):
        audio = split.columns["audio"].present.view(-1, 5).any(1)
        assert bool((audio | ~is_away).all())
    alone = apply(View(modalities=["audio"], drop=1.0), made())
    assert not alone["train"].columns["audio"].present.any()
    both = apply(View(drop=1.0), made())
    assert not both["train"].columns["vision"].present.any()


def test_the_seed_decides_and_one_modality_does_not_shift_another():
    one, same, other = (apply(View(drop={"audio": 0.5}, view_seed=seed), made())["train"].columns["audio"].present for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    both = apply(View(drop={"audio": 0.5, "vision": 0.2}, view_seed=1), made())["train"].columns
    rows = both["vision"].present.repeat_interleave(5)  # A sample without both keeps one.
    assert torch.equal(one[rows], both["audio"].present[rows])


def test_what_was_missing_before_stays_missing():
    data = apply(View(drop_frames={"audio": 0.5}), apply(View(drop_frames={"audio": 0.5}, view_seed=1), made()))
    assert shares(data["train"], "audio")[0] == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize("kind", ["regression", "multiclass", "multilabel"])
def test_noisy_labels_are_other_labels_at_their_rate_and_in_train_only(kind):
    before = made(kind)
    after = apply(View(label_noise=0.4), before)
    changed = (before["train"].target != after["train"].target).float().mean()
    assert float(changed) == pytest.approx(0.4, abs=0.07)
    assert torch.equal(before["valid"].target, after["valid"].target)
    assert torch.equal(before["test"].target, after["test"].target)
    assert set(after["train"].target.flatten().tolist()) <= set(before["train"].target.flatten().tolist())
    if kind == "multiclass":
        moves = Counter(((after["train"].target - before["train"].target) % 4).tolist())
        assert min(moves[1], moves[2], moves[3]) > 30


def test_groups_are_kept_whole():
    data = apply(View(keep_groups=0.25), made())
    counts = Counter(data["train"].groups)
    assert len(counts) == 10
    assert set(counts.values()) == {10}
    assert len(data["valid"]) == 400
    nameless = replace(made()["train"], groups=None)
    assert len(apply(View(keep_groups=0.1), replace(made(), splits={**made().splits, "train": nameless}))["train"]) == 40


def test_overlap_is_how_much_of_each_part_lies_in_each_share():
    assert overlap(4, 2).tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    assert torch.allclose(overlap(3, 2), torch.tensor([[1, 0.5, 0], [0, 0.5, 1]]))
    assert torch.allclose(overlap(2, 4), torch.tensor([[0.5, 0], [0.5, 0], [0, 0.5], [0, 0.5]]))


def test_alignment_averages_over_equal_shares():
    column = Column.from_list([np.array([[1.0], [3.0], [5.0], [7.0]], np.float32), np.array([[2.0], [4.0]], np.float32)])
    found = averaged(column, torch.tensor([2, 4]))
    assert found[0].flatten().tolist() == [2, 6]
    assert found[1].flatten().tolist() == [2, 2, 4, 4]
    gaps = averaged(Column(column.values, column.offsets, torch.tensor([True, False, False, False, True, True])), torch.tensor([2, 1]))
    assert gaps.present.tolist() == [True, False, True]
    assert gaps[0].flatten().tolist() == [1, 0]


def test_aligned_opinions_have_one_step_a_word():
    data = load("opinions/balanced", train=20, valid=5, test=5, align_to="text")
    for split in data.splits.values():
        for name in data.modalities:
            assert torch.equal(split.columns[name].lengths, split.columns["text"].lengths)
    spec = data.spec.modalities
    assert spec["audio"].length == spec["text"].length
    assert spec["audio"].rate is None
    with pytest.raises(ConfigError, match='unknown modality "speech"'):
        apply(View(align_to="speech"), made())
    with pytest.raises(ConfigError, match="vision has one step a sample"):
        apply(View(align_to="vision"), made())


def test_options_of_load_are_views_or_the_readers():
    view, rest = take_options({"drop": 0.2, "modalities": "text, audio", "samples": 3})
    assert (view.drop, view.modalities, rest) == (0.2, ["text", "audio"], {"samples": 3})
    data = load("opinions/balanced", train=30, valid=5, test=5, modalities="text,vision", drop={"vision": 1.0})
    assert data.modalities == ("text", "vision")
    assert not data["train"].batch(torch.arange(5))["vision"].mask.any()
    with pytest.raises(ConfigError, match=r"drop=1\.5 will not do(.|\n)*rate at which a whole modality"):
        load("opinions/balanced", drop=1.5)
    with pytest.raises(ConfigError, match=r'unknown modality in drop "sound"'):
        load("opinions/balanced", drop={"sound": 0.5})
    with pytest.raises(ConfigError, match=r'unknown modality "sound"'):
        load("opinions/balanced", modalities=["sound"])


def test_a_sample_that_would_lose_every_frame_keeps_a_modality():
    data = apply(View(drop_frames=0.97, drop={"vision": 1.0}), made())
    audio = data["train"].columns["audio"].present.view(-1, 5)
    assert bool(audio.any(1).all())
    assert float(audio.all(1).float().mean()) > 0.5  # Given back whole.
    alone = apply(View(modalities=["audio"], drop=0.5), made())
    assert shares(alone["train"], "audio")[1] == pytest.approx(0.5, abs=0.08)


def test_what_is_kept_decides_scale_and_words():
    digits = load("digits", keep_groups=0.1)
    assert digits.notes["standardised"] == ["stroke", "spectrum"]
    values = digits["train"].columns["spectrum"].values
    assert len(values) == 120
    assert values.mean(0).abs().max() < 1e-5
    assert (values.std(0, correction=0) - 1).abs().max() < 1e-4
    data = load("opinions/balanced", train=300, valid=20, test=20, keep_groups=0.2)
    known = set(data["train"].columns["text"].values.tolist()) | {1}
    assert set(data["test"].columns["text"].values.tolist()) <= known
    assert 1 in data["test"].columns["text"].values.tolist()


def test_a_ceiling_is_only_kept_where_it_still_holds():
    plain = load("opinions/balanced", train=30, valid=5, test=20)
    assert load("opinions/balanced", train=30, valid=5, test=20, drop=0.5).ceiling == {}
    assert load("opinions/balanced", train=30, valid=5, test=20, drop=0.5, drop_in="train").ceiling == plain.ceiling
    assert load("opinions/balanced", train=30, valid=5, test=20, align_to="text").ceiling == {}
    two = plain.select("text", "vision").ceiling
    assert two["all"] == plain.ceiling["text+vision"]
    assert set(two) == {"text", "vision", "text+vision", "all"}
    assert plain.select("text").ceiling["all"] == plain.ceiling["text"]


def test_alignment_comes_before_the_choice_of_modalities():
    data = load("opinions/balanced", train=20, valid=5, test=5, align_to="audio", modalities=["vision"])
    whole = load("opinions/balanced", train=20, valid=5, test=5)
    assert torch.equal(data["train"].columns["vision"].lengths, whole["train"].columns["audio"].lengths)
    with pytest.raises(ConfigError, match="has no other sequence to align"):
        apply(View(align_to="audio"), made())


@pytest.mark.parametrize("wrong", [{"audio": 3}, "much", -1])
def test_a_wrong_rate_is_said_plainly(wrong):
    with pytest.raises(ConfigError, match="drop=.* will not do: a rate is 0 to 1"):
        take_options({"drop": wrong})


def test_a_missing_modality_is_represented_by_zeros():
    from workbench import methods

    data = apply(View(drop={"vision": 0.5}), made())
    model = methods.build("lf_dnn", {"hidden_size": 4}, data.spec).eval()
    batch = data["train"].batch(torch.arange(40))
    z = model(batch).representations["vision"]
    is_there = batch["vision"].mask[:, 0]
    assert not z[~is_there].any()
    assert z[is_there].abs().sum(1).min() > 0
    assert not made()["train"].batch(torch.arange(3))["vision"].has_gaps
