"""Masked sequences: expected values by hand, and what must hold for any lengths."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.sequences import common_steps, last_real_step, lengths, masked_mean, resampled, turned_round

VALUES = torch.tensor(
    [[[1.0, 10.0], [2.0, 20.0], [6.0, 60.0], [99.0, 99.0]], [[4.0, 40.0], [99.0, 99.0], [8.0, 80.0], [99.0, 99.0]], [[99.0, 99.0]] * 4]
)
MASK = torch.tensor([[True, True, True, False], [True, False, True, False], [False] * 4])
"""Three steps; two with a hole between; none."""


def row(*values):
    """One sample of one feature."""
    return torch.tensor(values, dtype=torch.float64)[None, :, None]


def real(*flags):
    return torch.tensor([flags], dtype=torch.bool)


def onto(values, mask, target):
    return resampled(values, mask, target)[0, :, 0].tolist()


def test_the_mean_is_over_real_steps_only():
    assert masked_mean(VALUES, MASK).tolist() == [[3.0, 30.0], [6.0, 60.0], [0.0, 0.0]]


def test_lengths_count_holes_and_not_the_padding():
    assert lengths(MASK).tolist() == [3, 3, 0]
    assert lengths(real(False, False, True, False)).tolist() == [3]


def test_the_last_real_step():
    assert last_real_step(VALUES, MASK).tolist() == [[6.0, 60.0], [8.0, 80.0], [0.0, 0.0]]


def test_turned_round_keeps_the_padding_at_the_end():
    assert turned_round(VALUES, MASK)[:, :, 0].tolist() == [[6.0, 2.0, 1.0, 99.0], [8.0, 99.0, 4.0, 99.0], [99.0] * 4]


LENGTHS = {"text": [4, 1, 0, 3], "audio": [9, 5, 6, 3], "vision": [1, 1, 1, 0]}


def test_steps_are_those_of_the_reference_or_of_the_first_modality_that_is_there():
    masks = {name: torch.arange(max(n)) < torch.tensor(n)[:, None] for name, n in LENGTHS.items()}
    masks["audio"][0, 4] = False  # a missing step keeps its place
    assert common_steps(masks, "text").sum(1).tolist() == [4, 1, 6, 3]
    assert common_steps(masks, "audio").sum(1).tolist() == [9, 5, 6, 3]
    nobody = {name: torch.zeros(2, 3, dtype=torch.bool) for name in LENGTHS}
    assert common_steps(nobody, "text").sum().item() == 0
    assert common_steps(nobody, "text").shape[1] == 1


def test_a_reference_that_all_samples_have_is_taken_as_it_is():
    masks = {"text": real(True, True, False), "audio": real(True, True, True)}
    assert common_steps(masks, "text", has_gaps=False).tolist() == [[True, True, False]]
    assert common_steps(masks, "text").tolist() == [[True, True]]


@pytest.mark.parametrize(
    ("values", "steps", "expected"),
    [
        ((1, 3, 5, 7), 2, [2, 6]),  # two of them in each half
        ((1, 3), 4, [1, 1, 3, 3]),  # each stands for two
        ((5,), 3, [5, 5, 5]),  # a vector stands at every step
        ((1, 2, 6), 2, [1.5, 4]),  # shares 0 to 1.5 and 1.5 to 3: the middle one lies in both
        ((1, 4), 3, [1, 2.5, 4]),  # the middle third has a part of both
        ((1, 2, 3, 4, 5), 1, [3]),
    ],
)
def test_resampled_by_hand(values, steps, expected):
    mask = real(*[True] * len(values))
    assert onto(row(*values), mask, real(*[True] * steps)) == expected


def test_resampled_leaves_missing_steps_out_of_the_mean():
    assert onto(row(1, 99, 5, 7), real(True, False, True, True), real(True, True)) == [1, 6]
    assert onto(row(99, 99, 5, 7), real(False, False, True, True), real(True, True)) == [0, 6]


def test_resampled_gives_zeros_where_the_reference_has_no_step():
    assert onto(row(1, 2, 3), real(True, True, True), real(True, False, True, False, False)) == [1, 0, 3, 0, 0]


def test_resampled_of_nothing_and_onto_nothing():
    assert onto(row(99, 99), real(False, False), real(True, True)) == [0, 0]
    assert onto(row(1, 2), real(True, True), real(False, False, False)) == [0, 0, 0]


def test_resampled_goes_by_each_samples_own_lengths():
    values = torch.cat([row(1, 3, 99, 99), row(1, 3, 5, 7)])
    mask = torch.cat([real(True, True, False, False), real(True, True, True, True)])
    assert resampled(values, mask, torch.ones(2, 2, dtype=torch.bool))[:, :, 0].tolist() == [[1, 3], [2, 6]]


@st.composite
def samples(draw, *, whole=False):
    """A sample in double precision, 1 to 12 steps with or without holes, then padding full of 99."""
    length = draw(st.integers(1, 12))
    flags = [True] * length if whole else [draw(st.booleans()) for _ in range(length)]
    values = [float(draw(st.integers(-9, 9))) for _ in range(length)]
    padding = draw(st.integers(0, 4))
    return row(*[value if flag else 99.0 for value, flag in zip(values, flags, strict=True)], *[99.0] * padding), real(*flags, *[False] * padding)


@settings(deadline=None, max_examples=60)
@given(samples())
def test_turned_round_twice_is_the_input(sample):
    values, mask = sample
    assert torch.equal(turned_round(turned_round(values, mask), mask), values)


@settings(deadline=None, max_examples=60)
@given(samples())
def test_what_stands_behind_the_mask_does_not_matter(sample):
    values, mask = sample
    other = torch.where(mask[:, :, None], values, -5.0)
    target = torch.ones(1, 5, dtype=torch.bool)
    assert torch.equal(masked_mean(values, mask), masked_mean(other, mask))
    assert torch.equal(last_real_step(values, mask), last_real_step(other, mask))
    assert torch.equal(resampled(values, mask, target), resampled(other, mask, target))


@settings(deadline=None, max_examples=60)
@given(samples(), st.integers(1, 4))
def test_more_padding_changes_nothing(sample, more):
    values, mask = sample
    longer, wider = torch.cat([values, torch.full((1, more, 1), 7.0, dtype=torch.float64)], 1), torch.nn.functional.pad(mask, (0, more))
    assert lengths(mask).tolist() == lengths(wider).tolist()
    assert torch.equal(masked_mean(values, mask), masked_mean(longer, wider))
    assert torch.equal(turned_round(values, mask), turned_round(longer, wider)[:, : values.shape[1]])
    target = torch.ones(1, 3, dtype=torch.bool)
    assert torch.equal(resampled(values, mask, target), resampled(longer, wider, target))


@settings(deadline=None, max_examples=60)
@given(samples())
def test_resampled_onto_as_many_steps_is_the_identity(sample):
    values, mask = sample
    if mask.any():
        inside = torch.arange(mask.shape[1]) < lengths(mask)[:, None]
        assert torch.equal(resampled(values, mask, inside), torch.where(mask[:, :, None], values, 0))


@settings(deadline=None, max_examples=60)
@given(samples(whole=True), st.integers(1, 20))
def test_resampled_stays_within_the_values_and_keeps_their_order(sample, steps):
    values, mask = sample
    found = resampled(values, mask, torch.ones(1, steps, dtype=torch.bool))
    inside = values[mask]
    assert inside.min() <= found.min() and found.max() <= inside.max()
    rising = torch.where(mask[:, :, None], torch.arange(mask.shape[1], dtype=torch.float64)[None, :, None], 99)
    assert bool((resampled(rising, mask, torch.ones(1, steps, dtype=torch.bool))[0, :, 0].diff() >= 0).all())


@settings(deadline=None, max_examples=60)
@given(samples(whole=True), st.integers(1, 4))
def test_repeated_steps_give_the_same_as_the_steps(sample, times):
    values, mask = sample
    length = int(lengths(mask))
    target = torch.ones(1, length, dtype=torch.bool)
    repeated = values[:, :length].repeat_interleave(times, 1)
    torch.testing.assert_close(resampled(repeated, torch.ones(1, length * times, dtype=torch.bool), target), values[:, :length], atol=1e-12, rtol=0)
