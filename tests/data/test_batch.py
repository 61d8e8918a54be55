"""Ragged storage, padding, batches and the sealed test split."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from workbench.data.batch import POOL, Column, Dataset, ModalitySpec, Spec, Split, TaskSpec, batch_rows
from workbench.errors import ConfigError, DataError, SealedError

SAMPLES = [np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32), np.zeros((0, 2), np.float32), np.array([[7.0, 8.0]], np.float32)]
"""Three samples of 3, 0 and 1 steps."""


def rows(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.int64)


@pytest.fixture
def column() -> Column:
    return Column.from_list(SAMPLES)


# Columns


def test_a_ragged_column_keeps_every_sample(column):
    assert len(column) == 3
    assert column.lengths.tolist() == [3, 0, 1]
    for row, sample in enumerate(SAMPLES):
        np.testing.assert_array_equal(column[row].numpy(), sample)


def test_padding_by_hand(column):
    padded = column.pad(rows(2, 0, 1))
    expected = [[[7, 8], [0, 0], [0, 0]], [[1, 2], [3, 4], [5, 6]], [[0, 0], [0, 0], [0, 0]]]
    assert padded.values.tolist() == expected
    assert padded.mask.tolist() == [[True, False, False], [True, True, True], [False, False, False]]


def test_padding_goes_to_the_longest_of_the_batch_only(column):
    assert column.pad(rows(2, 1)).values.shape == (2, 1, 2)
    assert column.pad(rows(2, 1)).values.tolist() == [[[7, 8]], [[0, 0]]]
    assert column.pad(rows(2, 2)).values.tolist() == [[[7, 8]], [[7, 8]]]


def test_a_batch_of_empty_samples_has_one_masked_step(column):
    padded = column.pad(rows(1, 1))
    assert padded.values.tolist() == [[[0, 0]], [[0, 0]]]
    assert not padded.mask.any()


def test_padding_does_not_write_into_the_column(column):
    before = column.values.clone()
    column.pad(rows(0, 1, 2)).values.fill_(9)
    column.pad(rows(2, 2)).values.fill_(9)
    assert torch.equal(column.values, before)


def test_tokens_are_padded_with_id_zero():
    column = Column.from_list([np.array([5, 6, 7]), np.array([8])])
    padded = column.pad(rows(0, 1))
    assert padded.values.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert padded.values.dtype == torch.int64


def test_images_are_one_step_without_a_time_axis():
    images = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    padded = Column.from_rows(images).pad(rows(1, 0))
    np.testing.assert_array_equal(padded.values.numpy(), images[[1, 0]])
    assert padded.mask.tolist() == [[True], [True]]


def test_vectors_are_one_step_with_a_time_axis():
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    padded = Column.from_rows(vectors).pad(rows(2, 0))
    np.testing.assert_array_equal(padded.values.numpy(), vectors[[2, 0]][:, None])
    assert padded.mask.tolist() == [[True], [True]]


def test_taking_rows_equals_a_loop(column):
    picked = [2, 0, 0, 1]
    taken = column.take(rows(*picked))
    assert taken.lengths.tolist() == [1, 3, 3, 0]
    for place, row in enumerate(picked):
        assert torch.equal(taken[place], column[row])


def test_taking_no_row(column):
    assert len(column.take(rows())) == 0


# Splits


def test_a_batch_has_its_modalities_by_name_in_the_cards_order(toy):
    batch = toy["train"].batch(rows(4, 1))
    assert list(batch.modalities) == ["text", "audio", "vision"]
    assert batch["audio"] is batch.modalities["audio"]
    assert batch.index.tolist() == [4, 1]
    assert torch.equal(batch.target, toy["train"].target[[4, 1]])
    assert len(batch) == 2


def test_a_batch_holds_each_samples_real_steps(toy):
    batch = toy["train"].batch(rows(3, 8, 5))
    for name, column in toy["train"].columns.items():
        for place, row in enumerate((3, 8, 5)):
            real = batch[name].values[place][batch[name].mask[place]]
            assert torch.equal(real, column[row])
            assert batch[name].values[place][~batch[name].mask[place]].abs().sum() == 0


def test_an_unknown_modality_names_the_known(toy):
    with pytest.raises(DataError, match=r'no modality "smell"[\s\S]*text, audio, vision'):
        toy["train"].batch(rows(0))["smell"]


def test_taking_rows_of_a_split_takes_everything(toy):
    split = replace(
        toy["valid"],
        texts=[f"sentence {i}" for i in range(40)],
        labels={"text": torch.arange(40)},
        evidence={"cue": np.arange(80).reshape(40, 2)},
    )
    taken = split.take([7, 2])
    assert taken.ids == ["valid_7", "valid_2"]
    assert taken.groups == [split.groups[7], split.groups[2]]
    assert taken.texts == ["sentence 7", "sentence 2"]
    assert taken.labels["text"].tolist() == [7, 2]
    assert taken.evidence["cue"].tolist() == [[14, 15], [4, 5]]
    assert torch.equal(taken.target, split.target[[7, 2]])
    assert torch.equal(taken.columns["vision"][1], split.columns["vision"][2])


def test_what_is_not_known_stays_unknown(toy):
    taken = replace(toy["valid"], groups=None).take([1])
    assert taken.groups is None
    assert taken.texts is None


def test_a_split_on_a_device_keeps_its_offsets_on_the_cpu(toy):
    moved = toy["valid"].to("meta")
    assert moved.target.device.type == moved.columns["text"].values.device.type == "meta"
    assert moved.columns["text"].offsets.device.type == "cpu"
    assert toy.to("meta")["test"].target.device.type == "meta"


# Batches of an epoch


@pytest.mark.parametrize("is_bucketed", [True, False])
@pytest.mark.parametrize(("n", "size"), [(1, 4), (7, 3), (64, 16), (1000, 7), (5, 100)])
def test_every_row_exactly_once(n, size, is_bucketed):
    lengths = torch.randint(1, 50, (n,), generator=torch.Generator().manual_seed(n))
    batches = batch_rows(lengths, size, seed=3, is_bucketed=is_bucketed)
    assert sorted(torch.cat(batches).tolist()) == list(range(n))
    assert sorted(map(len, batches)) == sorted(map(len, torch.arange(n).split(size)))


def test_without_a_seed_the_order_is_the_splits(toy):
    index = torch.cat([batch.index for batch in toy["train"].batches(10)])
    assert index.tolist() == list(range(96))
    assert [len(batch) for batch in toy["train"].batches(40)] == [40, 40, 16]


@pytest.mark.parametrize("is_bucketed", [True, False])
def test_a_seed_fixes_the_order(toy, is_bucketed):
    def order(seed):
        return torch.cat([batch.index for batch in toy["train"].batches(10, seed=seed, is_bucketed=is_bucketed)]).tolist()

    assert order(5) == order(5)
    assert order(5) != order(6)
    assert order(5) != list(range(96))


def test_batches_leave_the_global_random_state_alone(toy):
    before = torch.random.get_rng_state()
    list(toy["train"].batches(10, seed=1))
    assert torch.equal(torch.random.get_rng_state(), before)


def padded_steps(batches: list[torch.Tensor], lengths: torch.Tensor) -> int:
    """Steps that a batch is padded to, over all batches."""
    return sum(int(lengths[rows].max()) * len(rows) for rows in batches)


def test_bucketing_pads_less():
    lengths = torch.randint(1, 200, (1024,), generator=torch.Generator().manual_seed(0))
    plain = padded_steps(batch_rows(lengths, 16, seed=0, is_bucketed=False), lengths)
    bucketed = padded_steps(batch_rows(lengths, 16, seed=0), lengths)
    real = int(lengths.sum())
    assert real <= bucketed
    # Sorting pools of 256 cuts the padding to a small part of it.
    assert bucketed - real < 0.25 * (plain - real)


def test_bucketed_epochs_stay_random():
    lengths = torch.arange(1, 1 + 4 * POOL * 8)
    first, second = batch_rows(lengths, 8, seed=0), batch_rows(lengths, 8, seed=1)
    together = [{frozenset(rows.tolist()) for rows in epoch} for epoch in (first, second)]
    assert len(together[0] & together[1]) < len(first) / 4
    # The batches are shuffled: their lengths do not rise through a pool.
    means = torch.stack([lengths[rows].float().mean() for rows in first])
    assert 0.3 < float((means.diff() > 0).float().mean()) < 0.7


def test_total_lengths_add_all_modalities(toy):
    expected = [sum(len(column[i]) for column in toy["valid"].columns.values()) for i in range(40)]
    assert toy["valid"].total_lengths.tolist() == expected


# Data sets


def test_a_sealed_data_set_refuses_its_test_split(toy):
    sealed = toy.sealed()
    assert list(sealed.splits) == ["train", "valid"]
    assert len(sealed["valid"]) == 40
    with pytest.raises(SealedError, match=r"test split was touched[\s\S]*data set toy, split test"):
        sealed["test"]
    assert len(toy["test"]) == 40


@pytest.mark.parametrize("change", [lambda data: data.select("text"), lambda data: data.subset(10), lambda data: data.to("cpu")])
def test_a_seal_stays_on(toy, change):
    with pytest.raises(SealedError, match="touched"):
        change(toy.sealed())["test"]


def test_an_unknown_split_names_the_near(toy):
    with pytest.raises(ConfigError, match=r'unknown split "trian"\. Did you mean train'):
        toy["trian"]


def test_select_keeps_the_cards_order(toy):
    data = toy.select("vision", "text")
    assert data.modalities == ("text", "vision")
    assert all(list(split.columns) == ["text", "vision"] for split in data.splits.values())
    assert toy.modalities == ("text", "audio", "vision")


def test_selecting_an_unknown_modality_names_the_near(toy):
    with pytest.raises(ConfigError, match=r'unknown modality "audo"\. Did you mean audio'):
        toy.select("text", "audo")


def test_a_subset_is_random_rows_of_train_only(toy):
    data = toy.subset(10, seed=1)
    assert len(data["train"]) == 10
    assert len(data["valid"]) == len(data["test"]) == 40
    assert len(set(data["train"].ids)) == 10
    assert data["train"].ids == toy.subset(10, seed=1)["train"].ids
    assert data["train"].ids != toy.subset(10, seed=2)["train"].ids
    assert data["train"].ids != [f"train_{i}" for i in range(10)]


def test_a_subset_of_everything_is_the_data(toy):
    assert toy.subset(96) is toy
    assert toy.subset(1000) is toy


@pytest.mark.parametrize("n", [0, -3])
def test_an_empty_subset_is_refused(toy, n):
    with pytest.raises(ConfigError, match=f"at least one training sample, got {n}"):
        toy.subset(n)


def test_replacing_a_modality_keeps_its_place(toy):
    columns = {name: Column.from_rows(np.ones((len(split), 5), np.float32)) for name, split in toy.splits.items()}
    data = toy.replace_modality("audio", ModalitySpec("vector", 5), columns)
    assert data.modalities == ("text", "audio", "vision")
    assert data.spec.modalities["audio"].kind == "vector"
    assert data["test"].batch(rows(0, 1))["audio"].values.shape == (2, 1, 5)
    assert toy.spec.modalities["audio"].size == 8


def test_own_arrays_make_a_data_set():
    split = {"face": np.ones((4, 3), np.float32), "target": np.zeros(4, np.float32)}
    data = Dataset.from_arrays("own", {"train": split, "valid": split}, task=TaskSpec("regression"))
    assert data.modalities == ("face",)
    assert data["train"].batch(rows(0))["face"].values.shape == (1, 1, 3)


def test_outputs_of_a_task():
    assert TaskSpec("regression").outputs == 1
    assert TaskSpec("multiclass", classes=("a", "b", "c")).outputs == 3


def test_a_split_of_images_batches():
    images = Column.from_rows(np.zeros((5, 1, 8, 8), np.float32))
    split = Split("train", {"view": images}, torch.zeros(5), [str(i) for i in range(5)])
    data = Dataset("images", Spec({"view": ModalitySpec("image", 1, shape=(1, 8, 8))}, TaskSpec("regression")), {"train": split})
    assert [batch["view"].values.shape for batch in data["train"].batches(2, seed=0)].count((2, 1, 8, 8)) == 2


def test_take_understands_a_mask(toy):
    mask = toy["valid"].target > 0
    assert toy["valid"].take(mask).ids == [name for name, is_chosen in zip(toy["valid"].ids, mask.tolist(), strict=True) if is_chosen]
