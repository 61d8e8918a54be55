"""Padded arrays into ragged columns."""

import mmap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.data import padding, scratch
from workbench.data.padding import detect, ragged
from workbench.data.scratch import map_of


def padded(samples, *, side, steps):
    """Each sample in the zeros of `steps` steps."""
    array = np.zeros((len(samples), steps, *samples[0].shape[1:]), np.float32)
    for row, sample in enumerate(samples):
        array[row, (steps - len(sample) if side == "start" else 0) :][: len(sample)] = sample
    return array


def samples_of(lengths, *, features=3, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.5, 1, (length, features)).astype(np.float32) for length in lengths]


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8), side=st.sampled_from(["start", "end"]), extra=st.integers(1, 4))
def test_what_was_padded_comes_back(lengths, side, extra):
    samples = samples_of(lengths)
    array = padded(samples, side=side, steps=max(lengths) + extra)
    found = detect(array)
    assert (found.side, found.lengths.tolist()) == (side, lengths)
    column, replaced = ragged(array, found.lengths, side=found.side)
    assert replaced == 0
    assert column.lengths.tolist() == lengths
    for row, sample in enumerate(samples):
        assert np.array_equal(column[row].numpy(), sample)


def test_zeros_inside_a_sample_are_real_and_a_sample_of_zeros_has_one_step():
    array = padded(samples_of([4, 2, 3]), side="end", steps=5)
    array[0, 1] = 0
    array[1] = 0
    found = detect(array)
    assert found.side == "end"
    assert found.lengths.tolist() == [4, 1, 3]
    assert str(found) == "padded behind the real steps; 1 to 4 real steps"


def test_the_side_is_the_one_with_more_zeros():
    array = padded(samples_of([2, 3, 5]), side="start", steps=5)
    array[2, -1] = 0  # One silent last frame does not make it padded behind.
    assert detect(array).side == "start"
    assert detect(array).lengths.tolist() == [2, 3, 5]
    assert detect(padded(samples_of([5, 5]), side="end", steps=5)).side == "none"


def test_tokens_are_ragged_too():
    ids = np.array([[5, 6, 0, 0], [7, 8, 9, 0]])
    found = detect(ids)
    column, _ = ragged(ids, found.lengths, side=found.side, dtype=np.int64)
    assert column.values.tolist() == [5, 6, 7, 8, 9]
    assert column.offsets.tolist() == [0, 2, 5]


def test_infinite_values_become_zero_and_are_counted_and_nan_stays():
    array = padded(samples_of([3, 2]), side="end", steps=3)
    array[0, 0, 0], array[1, 1, 2], array[0, 1, 1] = -np.inf, np.inf, np.nan
    column, replaced = ragged(array, np.array([3, 2]), side="end")
    assert replaced == 2
    assert column[0][0, 0] == 0
    assert column[1][1, 2] == 0
    assert column[0][1, 1].isnan()
    kept, none = ragged(array, np.array([3, 2]), side="end", replace_infinite=False)
    assert none == 0
    assert kept[0][0, 0] == -np.inf


def test_in_pieces_and_in_a_file_it_is_the_same(monkeypatch):
    array = padded(samples_of([3, 1, 4, 2, 5, 2]), side="start", steps=6)
    whole, _ = ragged(array, detect(array).lengths, side="start")
    monkeypatch.setattr(padding, "PIECE", array[:2].nbytes)
    monkeypatch.setattr(scratch, "LARGE", 1)
    assert len(list(padding.pieces(array))) == 3
    mapped, _ = ragged(array, detect(array).lengths, side="start")
    assert mapped.is_mapped
    assert not whole.is_mapped
    assert mapped.sum() == whole.sum()
    mapped.release()
    assert np.array_equal(mapped[4].numpy(), whole[4].numpy())


def test_the_map_of_an_array_is_found(tmp_path):
    (tmp_path / "numbers").write_bytes(np.arange(12, dtype=np.float32).tobytes())
    with (tmp_path / "numbers").open("rb") as file:
        room = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    array = np.frombuffer(room, np.float32).reshape(3, 4)[1:]
    assert map_of(array) is room
    assert map_of(np.zeros(3)) is None
    assert list(scratch_pieces(array)) == [4.0, 8.0]


def scratch_pieces(array):
    for _, piece in padding.pieces(array):
        yield from piece[:, 0].tolist()


def test_no_room_is_said(monkeypatch, tmp_path):
    from workbench.errors import DataError

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "file"))
    monkeypatch.setattr(scratch, "LARGE", 1)
    with pytest.raises(DataError, match=r"no room for 0\.0 GB of data: Not a directory(.|\n)*WORKBENCH_DATA"):
        scratch.empty((2, 2), np.float32)
