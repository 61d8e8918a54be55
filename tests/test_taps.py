"""Taps are named by their path, labelled by their axes, and cost nothing once the block ends."""

import numpy as np
import pytest
import torch
from torch import nn

from workbench.errors import ConfigError
from workbench.taps import Tap, Trace, record, taps


class Gate(nn.Module):
    """A module with a tap on two axes."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha = Tap("batch", "modality", modality=("text", "audio"))

    def forward(self, value):
        return self.alpha(value)


class Network(nn.Module):
    """Two gates and an attention with a time axis."""

    def __init__(self) -> None:
        super().__init__()
        self.fusion, self.other = Gate(), Gate()
        self.attention = Tap("batch", "time")

    def forward(self, value, weights):
        return self.other(self.fusion(value) + 1), self.attention(weights)


@pytest.fixture
def network() -> Network:
    return Network()


def hooks(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


def test_names_are_paths(network):
    assert list(taps(network)) == ["fusion.alpha", "other.alpha", "attention"]
    assert taps(nn.Linear(2, 2)) == {}


def test_a_tap_is_the_identity():
    value = torch.randn(2, 3, requires_grad=True)
    assert Tap("batch", "feature")(value) is value


def test_a_tap_says_its_axes():
    assert repr(Tap("batch", "modality")) == "Tap(batch, modality)"


def test_a_record_has_dims_and_coordinates(network):
    value = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    with record(network, "fusion.alpha") as trace:
        network(value, torch.ones(2, 3))
    seen = trace.dataset()
    assert list(seen.data_vars) == ["fusion.alpha"]
    assert seen["fusion.alpha"].dims == ("batch", "modality")
    assert seen["modality"].values.tolist() == ["text", "audio"]
    assert seen["fusion.alpha"].sel(modality="audio").values.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (("*.alpha",), ["fusion.alpha", "other.alpha"]),
        (("*",), ["fusion.alpha", "other.alpha", "attention"]),
        (("attention", "f*"), ["fusion.alpha", "attention"]),
        ((), []),
    ],
)
def test_patterns_choose(network, patterns, names):
    with record(network, *patterns) as trace:
        network(torch.ones(2, 2), torch.ones(2, 3))
    assert sorted(trace.dataset().data_vars) == sorted(names)


def test_calls_are_joined_in_their_order(network):
    with record(network, "fusion.alpha", "other.alpha") as trace:
        network(torch.zeros(2, 2), torch.ones(2, 3))
        network(torch.ones(1, 2), torch.ones(1, 3))
    assert trace.dataset()["fusion.alpha"].values.tolist() == [[0, 0], [0, 0], [1, 1]]
    assert trace.dataset()["other.alpha"].values.tolist() == [[1, 1], [1, 1], [2, 2]]


def test_shorter_calls_are_filled_with_nan(network):
    with record(network, "attention") as trace:
        network(torch.ones(1, 2), torch.ones(1, 2))
        network(torch.ones(2, 2), torch.full((2, 4), 5.0))
        network(torch.ones(1, 2), torch.ones(1, 3))
    nan = np.nan
    expected = [[1, 1, nan, nan], [5, 5, 5, 5], [5, 5, 5, 5], [1, 1, 1, nan]]
    np.testing.assert_array_equal(trace.dataset()["attention"].values, expected)


def test_one_number_a_sample_is_joined_too():
    tap = Tap("batch")
    with record(nn.Sequential(tap), "0") as trace:
        tap(torch.tensor([1.0, 2.0]))
        tap(torch.tensor([3.0]))
    assert trace.dataset()["0"].values.tolist() == [1, 2, 3]


def test_without_a_batch_axis_the_mean_of_the_calls_counts_and_of_other_shapes_the_last():
    tap = Tap("modality", modality=("text", "audio"))
    with record(nn.Sequential(tap), "0") as trace:
        tap(torch.tensor([1.0, 2.0]))
        tap(torch.tensor([3.0, 4.0]))
    assert trace.dataset()["0"].values.tolist() == [2, 3]
    tap = Tap("node", "neighbour")
    with record(nn.Sequential(tap), "0") as trace:
        tap(torch.ones(2, 2))
        tap(torch.zeros(1, 1))
    assert trace.dataset()["0"].values.tolist() == [[0]]


def test_time_axes_of_different_length_live_side_by_side():
    network = nn.ModuleDict({"text": Tap("batch", "time"), "audio": Tap("batch", "time")})
    with record(network, "*") as trace:
        network["text"](torch.ones(2, 3))
        network["audio"](torch.ones(2, 5))
    seen = trace.dataset()
    assert seen["text"].shape == (2, 3)
    assert seen["audio"].shape == (2, 5)
    assert set(seen["text"].dims) & set(seen["audio"].dims) == {"batch"}


def test_a_trace_keeps_copies_without_a_graph(network):
    value = torch.ones(1, 2, requires_grad=True)
    with record(network, "fusion.alpha") as trace:
        network(value, torch.ones(1, 1))
    with torch.no_grad():
        value.fill_(9)
    assert trace.dataset()["fusion.alpha"].dtype == np.float32


def test_values_that_numpy_does_not_know_are_recorded():
    tap = Tap("batch")
    with record(nn.Sequential(tap), "0") as trace:
        tap(torch.tensor([1.5], dtype=torch.bfloat16))
    assert trace.dataset()["0"].values.tolist() == [1.5]


def test_nothing_seen_is_an_empty_data_set():
    assert list(Trace().dataset().data_vars) == []


def test_hooks_come_off(network):
    with record(network, "*"):
        assert hooks(network) == 3
    assert hooks(network) == 0


def test_hooks_come_off_after_an_exception(network):
    with pytest.raises(RuntimeError, match="stop"), record(network, "*"):
        raise RuntimeError("stop")
    assert hooks(network) == 0


def test_nested_records_both_see_and_only_the_inner_ends(network):
    with record(network, "fusion.alpha") as outer:
        with record(network, "*.alpha") as inner:
            network(torch.ones(1, 2), torch.ones(1, 1))
        assert hooks(network) == 1
        network(torch.ones(2, 2), torch.ones(2, 1))
    assert hooks(network) == 0
    assert inner.dataset()["fusion.alpha"].shape == (1, 2)
    assert outer.dataset()["fusion.alpha"].shape == (3, 2)
    assert list(outer.dataset().data_vars) == ["fusion.alpha"]


def test_an_unknown_pattern_names_the_taps_and_leaves_no_hook(network):
    with pytest.raises(ConfigError, match=r'unknown tap "fusion.alfa". Did you mean fusion.alpha'), record(network, "attention", "fusion.alfa"):
        pass
    assert hooks(network) == 0


def test_a_model_without_taps_says_so():
    model = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match=r'nothing to record by "\*": the model has no taps'), record(model, "*"):
        pass
    with record(model) as trace:
        model(torch.ones(1, 2))
    assert list(trace.dataset().data_vars) == []


def test_a_tap_knows_whether_it_is_recorded(network):
    assert not network.fusion.alpha.is_recorded
    with record(network, "fusion.*"):
        assert network.fusion.alpha.is_recorded
        assert not network.other.alpha.is_recorded
    assert not network.fusion.alpha.is_recorded
