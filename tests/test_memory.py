"""What a model keeps of its training samples: begun once, read and written by row, in the checkpoint, the same after a resume."""

import io

import pytest
import torch
from torch import nn

from workbench import methods
from workbench.memory import FromTrain, PerSample
from workbench.plan import Plan
from workbench.training import TrainingState, training

ROWS = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


@pytest.fixture
def memory():
    kept = PerSample(2)
    kept.begin(ROWS)
    return kept


def test_it_begins_empty_and_takes_the_first_rows_as_its_own():
    kept, start = PerSample(2), ROWS.clone().requires_grad_()
    assert kept.rows.shape == (0, 2)
    kept.begin(start)
    with torch.no_grad():
        start.zero_()
    assert torch.equal(kept.rows, ROWS)
    assert not kept.rows.requires_grad


def test_a_second_begin_keeps_what_is_there_unless_the_samples_are_others(memory):
    memory.begin(ROWS + 1)
    assert torch.equal(memory.rows, ROWS)
    memory.begin(torch.zeros(5, 2))
    assert torch.equal(memory.rows, torch.zeros(5, 2))


def test_rows_are_read_and_written_by_index(memory):
    new = torch.tensor([[7.0, 8.0], [9.0, 10.0]], requires_grad=True)
    memory.write(torch.tensor([2, 0]), new)
    assert memory.read(torch.tensor([0, 1, 2, 0])).tolist() == [[9, 10], [3, 4], [7, 8], [9, 10]]
    assert not memory.rows.requires_grad


def test_what_was_read_does_not_change_with_a_later_write(memory):
    read = memory.read(torch.tensor([1]))
    memory.write(torch.tensor([1]), torch.zeros(1, 2))
    assert read.tolist() == [[3, 4]]


def test_it_is_of_the_model_s_precision(memory):
    memory.double()
    memory.write(torch.tensor([0]), torch.ones(1, 2, dtype=torch.bfloat16))
    assert memory.rows.dtype == torch.float64
    fresh = PerSample(2).double()
    fresh.begin(ROWS)
    assert fresh.rows.dtype == torch.float64


@pytest.mark.parametrize("samples", [0, 1, 3])
def test_a_checkpoint_brings_back_as_many_rows_as_it_has(memory, samples):
    other = nn.ModuleDict({"kept": PerSample(2)}).double()
    other["kept"].begin(torch.zeros(samples, 2))
    other.load_state_dict(nn.ModuleDict({"kept": memory}).state_dict())
    assert torch.equal(other["kept"].rows, ROWS.double())
    assert other["kept"].rows.dtype == torch.float64
    other["kept"].begin(torch.zeros(3, 2))
    assert torch.equal(other["kept"].rows, ROWS.double())


def test_a_checkpoint_of_another_width_is_refused(memory):
    with pytest.raises(RuntimeError, match=r"size mismatch for rows"):
        PerSample(3).load_state_dict(memory.state_dict())


def test_a_checkpoint_is_no_view_of_the_memory_it_came_from(memory):
    other = PerSample(2)
    other.load_state_dict(memory.state_dict())
    memory.write(torch.tensor([0]), torch.zeros(1, 2))
    assert torch.equal(other.rows, ROWS)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_stays_on_the_model_s_device(memory):
    kept = PerSample(2).to("cuda")
    kept.begin(ROWS)
    assert kept.rows.is_cuda
    kept.load_state_dict(memory.state_dict())
    assert kept.rows.is_cuda


# In a training


class Remembering(FromTrain):
    """Concatenation, plus what was last seen of each training sample, plus noise drawn from the training split once."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.memory = PerSample(size)
        self.register_buffer("noise", torch.zeros(size))
        self.said: list[object] = []

    def begin(self, split, task):
        self.said.append(("begin", split.name, task.spec.kind))
        start = torch.randn(len(split), self.noise.shape[0])  # another one at every call
        self.memory.begin(start)
        if not self.noise.any():
            self.noise = start[0].to(self.noise)

    def begin_epoch(self, number):
        self.said.append(number)

    def forward(self, balanced, z, context):
        fused = torch.cat(list(balanced.values()), 1) + self.noise
        if self.training:
            before = self.memory.read(context.index)
            self.memory.write(context.index, fused)
            fused = fused + 0.5 * before
        return fused, {}


PLAN = {"epochs": 4, "batch_size": 32, "probe_every": 0, "is_traced": False}


def remembering(data, *, seed=0):
    model = methods.build("lf_dnn", {"hidden_size": 8, "post_size": 8}, data.spec, seed=0)
    torch.manual_seed(seed)
    model.fusion = Remembering(24)
    return model


def test_the_trainer_says_begin_once_and_counts_the_epochs(toy):
    model = remembering(toy)
    list(training(model, toy, Plan(**PLAN)))
    assert model.fusion.said == [("begin", "train", "regression"), 1, 2, 3, 4]
    assert model.fusion.memory.rows.shape == (96, 24)


def saved_and_loaded(state):
    """Through a file, as a checkpoint is."""
    file = io.BytesIO()
    torch.save(state.save(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("killed_in", [2, 4])
def test_killed_and_resumed_is_bitwise_the_unbroken_training(toy, killed_in):
    whole = remembering(toy)
    whole_epochs = list(training(whole, toy, Plan(**PLAN)))
    broken = remembering(toy)
    state = TrainingState.start(broken, Plan(**PLAN))
    for epoch in training(broken, toy, Plan(**PLAN), state=state):
        checkpoint = saved_and_loaded(state) if epoch.number < killed_in else checkpoint
        if epoch.number == killed_in:
            break
    again = remembering(toy, seed=77)
    resumed = TrainingState.start(again, Plan(**PLAN))
    resumed.load(checkpoint)
    torch.manual_seed(1234)
    epochs = list(training(again, toy, Plan(**PLAN), state=resumed))
    assert [epoch.number for epoch in epochs] == list(range(killed_in, 5))
    assert again.fusion.said == [("begin", "train", "regression"), *range(killed_in, 5)]
    assert [epoch.loss for epoch in epochs] == [epoch.loss for epoch in whole_epochs[killed_in - 1 :]]
    for (name, expected), found in zip(whole.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(expected, found), name


def test_the_best_epoch_s_memory_is_kept_with_its_weights(toy):
    model = remembering(toy)
    state = TrainingState.start(model, Plan(**PLAN))
    for epoch in training(model, toy, Plan(**PLAN), state=state):
        if epoch.is_best:
            best = model.fusion.memory.rows.clone()
    model.load_state_dict(state.best_weights)
    assert torch.equal(model.fusion.memory.rows, best)
