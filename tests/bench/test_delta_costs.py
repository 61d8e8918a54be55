"""Costs against the length of a sequence: counted by hand, exponents of known curves, and what is too large is left out."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from workbench.bench import delta_attention
from workbench.bench.delta_attention import (
    DELTA,
    LENGTHS,
    MEMORY,
    MOST_BYTES,
    NAIVE,
    PLAIN,
    SECONDS,
    Form,
    NaiveDelta,
    attention_costs,
    attention_forms,
    kept_bytes,
    ratios,
    say_costs,
    slopes,
)
from workbench.figures import caption_of, cost_curves


class Squared(nn.Module):
    """Keeps T x T numbers."""

    def forward(self, x):
        return (x @ x.mT).exp()


def test_what_is_kept_is_counted_once_and_neither_input_nor_parameters():
    x = torch.randn(1, 8, 4)
    linear = nn.Linear(4, 4)
    assert kept_bytes(linear, x) == 0, "a linear layer keeps its input and its weight"
    assert kept_bytes(nn.Sequential(linear, nn.Tanh()), x) == 8 * 4 * 4, "tanh keeps its output"
    assert kept_bytes(Squared(), x) == 8 * 8 * 4, "exp keeps its output, the product its inputs"


def test_the_naive_form_is_the_equation_one_entry_at_a_time():
    torch.manual_seed(0)
    module = NaiveDelta(3, 5).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    q, k, v = module.query(x), module.key(x), module.value(x)
    expected = torch.zeros(2, 5, 3, dtype=torch.float64)
    for b in range(2):
        for i in range(5):
            logits = []
            for j in range(5):
                relative = sum((x[b, j, c] - x[b, i, c]) * module.positions[c, j - i + 4] for c in range(3))
                logits.append((sum(q[b, i, c] * k[b, j, c] for c in range(3)) + relative) / math.sqrt(3))
            weights = torch.stack(logits).softmax(0)
            expected[b, i] = sum(weights[j] * v[b, j] for j in range(5))
    torch.testing.assert_close(module(x), expected, atol=1e-12, rtol=0)
    # A shorter sequence takes the inner offsets.
    assert module(x[:, :3]).shape == (2, 3, 3)


def test_the_method_s_form_gives_what_the_naive_one_gives():
    torch.manual_seed(0)
    forms = {name: form.module.double() for name, form in attention_forms(3, 6).items()}
    naive, ours, plain = forms[NAIVE], forms[DELTA].attention, forms[PLAIN].attention
    for name in ("query", "value"):
        getattr(naive, name).load_state_dict(getattr(ours, name).state_dict())
    with torch.no_grad():
        naive.key.weight.copy_(ours.key.weight)
        naive.key.bias.zero_()
        naive.positions.copy_(ours.relative[0])
        plain.load_state_dict({name: value for name, value in ours.state_dict().items() if name != "relative"})
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    torch.testing.assert_close(forms[DELTA](x), naive(x), atol=1e-12, rtol=0)
    with torch.no_grad():
        naive.positions.zero_()
    torch.testing.assert_close(forms[PLAIN](x), naive(x), atol=1e-12, rtol=0)


def test_all_forms_run_in_turn_and_too_large_ones_are_left_out():
    calls = []

    def note(name):
        return lambda x: (calls.append((name, x.shape[1])), x.exp())[1]

    costs = attention_costs(
        {"a": note("a"), "large": Form(note("large"), needs=lambda steps: steps**2)}, lengths=(4, 8), rounds=2, most_bytes=20, size=3
    )
    assert calls == [("a", 4), ("large", 4), *[("a", 4), ("large", 4)] * 3, ("a", 8), *[("a", 8)] * 3]
    large = costs[(costs["variant"] == "large") & (costs["x"] == 8)]
    assert large["value"].isna().all() and "0.0 GB are allowed" in large["note"].iloc[0] and set(large["quantity"]) == {MEMORY, SECONDS}
    kept = costs[(costs["quantity"] == MEMORY) & (costs["variant"] == "a")]
    np.testing.assert_allclose(kept["value"], [4 * 3 * 4 / 1e6, 8 * 3 * 4 / 1e6])
    assert len(costs[(costs["quantity"] == SECONDS) & (costs["variant"] == "a") & (costs["x"] == 8)]) == 2


def curve(**forms) -> pd.DataFrame:
    """`name=(factor, exponent)`: three rounds; the last a quarter slower."""
    rows = [
        (name, "length", steps, quantity, number, factor * steps**power * (1.25 if number == 2 else 1), "")
        for name, (factor, power) in forms.items()
        for steps in (64, 128, 256, 512)
        for quantity, rounds in ((MEMORY, 1), (SECONDS, 3))
        for number in range(rounds)
    ]
    return pd.DataFrame(rows, columns=["variant", "axis", "x", "quantity", "round", "value", "note"])


def test_exponents_and_ratios_of_known_curves():
    costs = curve(plain=(1e-6, 1), delta=(1e-6, 2))
    found = slopes(costs).set_index(["variant", "quantity"])["slope"]
    assert found["plain", SECONDS] == pytest.approx(1) and found["delta", MEMORY] == pytest.approx(2)
    against = ratios(costs, "delta", "plain").set_index(["x", "quantity"])
    assert against.loc[(512, SECONDS), "ratio"] == pytest.approx(512) and against.loc[(64, MEMORY), "ratio"] == pytest.approx(64)
    # The slow round is slow for both: rounds are compared with themselves.
    assert against.loc[(512, SECONDS), "high"] == pytest.approx(512)
    said = say_costs(costs, "delta", ["plain", "absent"])
    assert "exponent of growth with the steps, seconds: plain 1.0, delta 2.0" in said
    assert "delta against plain at 512 steps, seconds: 512.00 times (middle half of rounds 512.00 to 512.00)" in said and "absent" not in said


def test_a_form_that_stops_early_is_compared_where_it_still_is():
    costs = curve(naive=(2e-6, 2), delta=(1e-6, 2))
    costs.loc[(costs["variant"] == "naive") & (costs["x"] > 128), "value"] = np.nan
    assert "delta against naive at 128 steps, seconds: 0.50 times" in say_costs(costs, "delta", ["naive"])


def test_what_is_allowed_has_the_naive_form_at_the_longest_sequence_and_no_more_than_is_free(monkeypatch, tmp_path):
    assert NaiveDelta.needs(32)(max(LENGTHS)) < MOST_BYTES, "2,000 steps are the length that is asked about"
    free = tmp_path / "meminfo"
    monkeypatch.setattr(delta_attention, "FREE", free)
    assert delta_attention.allowed_bytes() == MOST_BYTES, "a system that does not tell"
    free.write_text("MemTotal:  64000000 kB\nMemAvailable:   1000000 kB\n")
    assert delta_attention.allowed_bytes() == 1000000 * 1024 / 2
    costs = attention_costs({"large": Form(torch.exp, needs=lambda steps: 6e8)}, lengths=(4,), rounds=1)
    assert costs["value"].isna().all() and "0.5 GB are allowed" in costs["note"].iloc[0]
    free.write_text("MemAvailable:  64000000 kB\n")
    assert delta_attention.allowed_bytes() == MOST_BYTES


def test_costs_are_a_picture():
    costs = attention_costs({"squares": Squared(), "plain": torch.tanh}, lengths=(8, 16, 32), rounds=1, size=4)
    caption = caption_of(cost_curves(costs))
    assert "from 8 to 32 steps: squares 16 times (slope 2.0), plain 4.0 times" in caption
    assert "Memory of a training step" not in caption, "weights and moments are not in these numbers"
