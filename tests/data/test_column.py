"""Ragged columns: padding, missing steps, sums."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.data import batch as batch_module
from workbench.data.batch import Column, Split, ahead


def column_of(lengths, *, features=2):
    values = np.arange(1, 1 + sum(lengths) * features, dtype=np.float32).reshape(-1, features)
    return Column.from_list(np.split(values, np.cumsum(lengths)[:-1]))


@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=7), data=st.data())
def test_a_batch_holds_each_sample_and_zeros_behind_it(lengths, data):
    column = column_of(lengths)
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=9))
    batch = column.pad(torch.tensor(rows))
    assert batch.values.shape == (len(rows), max(lengths[row] for row in rows), 2)
    for i, row in enumerate(rows):
        assert torch.equal(batch.values[i, : lengths[row]], column[row])
        assert batch.mask[i].tolist() == [step < lengths[row] for step in range(batch.mask.shape[1])]
        assert not batch.values[i, lengths[row] :].any()
    taken = column.take(torch.tensor(rows))
    assert all(torch.equal(taken[i], column[row]) for i, row in enumerate(rows))


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=6), data=st.data())
def test_missing_steps_are_zero_and_masked_and_keep_their_place(lengths, data):
    whole = column_of(lengths)
    flags = torch.tensor(data.draw(st.lists(st.booleans(), min_size=sum(lengths), max_size=sum(lengths))))
    column = Column(whole.values, whole.offsets, flags)
    batch = column.pad(torch.arange(len(lengths)))
    for row, length in enumerate(lengths):
        present = flags[whole.offsets[row] : whole.offsets[row + 1]]
        assert batch.mask[row, :length].tolist() == present.tolist()
        assert torch.equal(batch.values[row, :length], whole[row] * present[:, None])
        assert torch.equal(column[row], whole[row] * present[:, None])
        assert torch.equal(column.take(torch.tensor([row]))[0], column[row])


@given(lengths=st.lists(st.integers(1, 5), min_size=2, max_size=6), data=st.data())
def test_gathered_on_a_device_is_what_is_copied_on_the_cpu(lengths, data):
    """`_gathered` is what a GPU runs; here on the CPU."""
    flags = torch.tensor(data.draw(st.lists(st.booleans(), min_size=sum(lengths), max_size=sum(lengths))))
    whole = column_of(lengths)
    for column in (whole, Column(whole.values, whole.offsets, flags)):
        starts, counts = column.offsets[:-1].numpy(), column.lengths.numpy()
        is_real = np.arange(max(lengths)) < counts[:, None]
        one, other = column._copied(starts, counts, is_real.copy()), column._gathered(starts, counts, is_real)
        assert torch.equal(one.values, other.values)
        assert torch.equal(one.mask, other.mask)


def test_missing_vectors_images_and_tokens():
    gone = torch.tensor([True, False])
    vectors = Column(torch.ones(2, 3), torch.arange(3), gone).pad(torch.tensor([0, 1]))
    assert vectors.values.tolist() == [[[1, 1, 1]], [[0, 0, 0]]]
    assert vectors.mask.tolist() == [[True], [False]]
    images = Column(torch.ones(2, 1, 2, 2), torch.arange(3), gone).pad(torch.tensor([1, 0]))
    assert images.values.flatten(1).sum(1).tolist() == [0, 4]
    assert images.mask.tolist() == [[False], [True]]
    tokens = Column(torch.tensor([4, 5, 6]), torch.tensor([0, 2, 3]), torch.tensor([True, False, True])).pad(torch.tensor([0, 1]))
    assert tokens.values.tolist() == [[4, 0], [6, 0]]
    assert tokens.mask.tolist() == [[True, False], [True, False]]


def test_the_sum_is_of_the_content():
    column = column_of([2, 3])
    assert column.sum() == column_of([2, 3]).sum()
    assert column.sum() != column_of([3, 2]).sum()
    assert column.sum() != Column(column.values + 1, column.offsets).sum()
    assert column.sum() != Column(column.values, column.offsets, torch.arange(5) > 0).sum()
    assert column.sum() != Column(column.values.to(torch.int32), column.offsets).sum()
    assert Column(column.values, column.offsets, digest="known").sum() == "known"


def test_pieces_are_the_whole():
    column = column_of([2, 3, 4])
    pieces = list(column.pieces(4))
    assert [start for start, _ in pieces] == [0, 2, 4, 6, 8]
    assert torch.equal(torch.cat([piece for _, piece in pieces]), column.values)


def test_batches_made_ahead_come_in_order_and_so_do_exceptions():
    assert list(ahead(lambda rows: rows * 2, list(torch.arange(9)))) == [2 * i for i in range(9)]

    def fails(rows):
        if int(rows) == 3:
            raise ValueError("row 3")
        return int(rows)

    batches = ahead(fails, list(torch.arange(9)))
    assert [next(batches) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="row 3"):
        next(batches)


def test_leaving_the_loop_early_leaves_no_thread():
    import threading

    before = threading.active_count()
    for batch in ahead(lambda rows: rows, list(torch.arange(1000))):
        if int(batch) == 2:
            break
    del batch
    assert threading.active_count() <= before + 1


def test_a_streamed_split_gives_the_same_batches(monkeypatch):
    column = column_of([3, 1, 2, 4])

    class Room:
        def madvise(self, advice):
            pass

    names = [str(i) for i in range(4)]
    plain = Split("train", {"audio": column}, torch.arange(4.0), names)
    streamed = Split("train", {"audio": Column(column.values, column.offsets, map=Room())}, torch.arange(4.0), names)
    assert not streamed.is_streamed  # The system keeps a small file in memory: reading ahead would only take time.
    monkeypatch.setattr(batch_module, "main_memory", lambda: column.bytes)
    assert streamed.is_streamed
    assert not plain.is_streamed
    for one, other in zip(plain.batches(2, seed=1), streamed.batches(2, seed=1), strict=True):
        assert torch.equal(one["audio"].values, other["audio"].values)
        assert torch.equal(one.index, other.index)


@pytest.mark.parametrize("shape", [(1,), (3, 2)])
@pytest.mark.parametrize("lengths", [(1, 1, 1), (2, 1, 3)])
def test_nan_in_the_place_of_what_is_missing_is_not_seen(lengths, shape):
    values = torch.ones(sum(lengths), *shape)
    values[1] = float("nan")
    flags = torch.ones(len(values), dtype=torch.bool)
    flags[1] = False
    column = Column(values, torch.tensor([0, *np.cumsum(lengths)]), flags)
    assert bool(column.pad(torch.arange(3)).values.isfinite().all())
    assert all(bool(column[i].isfinite().all()) for i in range(3))
