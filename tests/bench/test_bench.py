"""The benchmark: what it measures is the same model, and the table says how much longer it took."""

import math
from itertools import count

import pytest
import torch

from workbench import bench as benchmark
from workbench import methods
from workbench.errors import ConfigError

DATA = benchmark.made_data(24)
LABELS = ["bare loop", "tracing off", "tracing on", "first-order B-fusion", "exact B-fusion", "tracing on, probes", "bare loop, full padding"]


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that every epoch reads: the bare loop takes 2 s, the k-th variant after it 2 + k s; nothing is trained."""

    def timer(name: str, data: object, label: str, device: str):
        return (2.0 + LABELS.index(label) for _ in count())

    monkeypatch.setattr(benchmark, "timer", timer)


def test_a_row_for_each_variant_and_the_ratio_round_by_round(ticking):
    table = benchmark.bench(["lf_dnn", "lf_lstm"], rounds=5, samples=8)
    assert list(table) == ["method", "variant", "seconds", "ratio", "middle half", "bound", "rounds"]
    assert table["method"].tolist() == ["lf_dnn"] * 7 + ["lf_lstm"] * 7
    dnn = table[table["method"] == "lf_dnn"].set_index("variant")
    assert sorted(dnn.index) == sorted(LABELS)
    assert dnn.loc[LABELS, "seconds"].tolist() == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert dnn.loc[LABELS, "ratio"].tolist() == [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
    assert set(table["rounds"]) == {5}  # two more warm up and are not counted
    assert dnn.loc["tracing on", "bound"] == 1.15
    assert math.isnan(dnn.loc["bare loop", "bound"])


def test_ratios_are_paired_within_a_round():
    # round by round 2, 1, 1, 4: median 1.5, where the medians of the seconds, 3 and 1, would say 3
    row = benchmark._row("lf_dnn", "tracing on", [2.0, 1.0, 4.0, 4.0], [1.0, 1.0, 4.0, 1.0])
    assert (row["seconds"], row["ratio"]) == (3.0, 1.5)
    assert row["middle half"] == "1.00 to 2.00"


def test_a_small_benchmark_of_lf_dnn():
    torch.set_num_threads(1)
    table = benchmark.bench(["lf_dnn"], rounds=3, samples=32, device="cpu")
    assert len(table) == 7
    assert (table["seconds"] > 0).all()
    assert (table["ratio"] > 0).all()
    assert table.set_index("variant").loc["bare loop", "ratio"] == 1.0
    assert table.set_index("variant").loc["bare loop", "middle half"] == "1.00 to 1.00"


@pytest.mark.parametrize("name", ["mfn", "mult"])
@pytest.mark.parametrize("label", ["bare loop", "tracing off", "bare loop, full padding"])
def test_slow_methods_are_timed(name, label):
    torch.set_num_threads(1)
    epochs = benchmark.timer(name, DATA, label, "cpu")
    assert 0 < next(epochs) < 60


def dnn_pairs(model) -> dict[str, torch.nn.Module]:
    """The workbench's layers under the names that the bare LF-DNN has for them."""
    return {f"first.{name}": model.encoders[name].layers[0][0] for name in model.modalities} | shared_pairs(model)


def lstm_pairs(model) -> dict[str, torch.nn.Module]:
    """The workbench's layers under the names that the bare LF-LSTM has for them."""
    return {f"lstm.{name}": model.encoders[name].lstm for name in model.modalities} | shared_pairs(model)


def shared_pairs(model) -> dict[str, torch.nn.Module]:
    return {**{f"second.{name}": model.projections[name] for name in model.modalities}, "post": model.head[0], "out": model.head[3]}


def mult_pairs(model) -> dict[str, torch.nn.Module]:
    """The workbench's layers under the names that the bare MulT has for them."""
    streams = {f"cross.{name}": stream for name, stream in model.fusion.crossmodal.streams.items()}
    streams |= {f"memory.{name}": memory for name, memory in model.fusion.memories.items()}
    pairs = {f"conv.{name}": model.projections[name].convolution for name in model.modalities}
    pairs |= {"first": model.head.block[0], "second": model.head.block[3], "out": model.head.output}
    for path, stream in streams.items():
        pairs[f"{path}.norm"] = stream.norm
        for i, layer in enumerate(stream.layers):
            parts = {key: getattr(layer.attention, key) for key in ("query", "key", "value", "output")}
            parts |= {"attention_norm": layer.attention_norm, "feed_forward_norm": layer.feed_forward_norm}
            parts |= {"up": layer.feed_forward[0], "down": layer.feed_forward[3]}
            pairs |= {f"{path}.layers.{i}.{key}": part for key, part in parts.items()}
    return pairs


@pytest.mark.parametrize(("name", "pairs"), [("lf_dnn", dnn_pairs), ("lf_lstm", lstm_pairs), ("mult", mult_pairs)])
def test_the_bare_model_is_the_same_function(name, pairs):
    ours = methods.build(name, {}, DATA.spec, seed=3).double().eval()
    bare = benchmark.BARE[name]({key: spec.size for key, spec in DATA.spec.modalities.items()}).double().eval()
    weights = {f"{path}.{key}": value for path, module in pairs(ours).items() for key, value in module.state_dict().items()}
    bare.load_state_dict(weights)  # strict: no layer is left over on either side
    assert sum(p.numel() for p in bare.parameters()) == sum(p.numel() for p in ours.parameters())
    batch = DATA["train"].batch(torch.arange(24))
    batch = type(batch)(**{**vars(batch), "modalities": {key: as_double(value) for key, value in batch.modalities.items()}})
    with torch.no_grad():
        torch.testing.assert_close(bare(batch), ours(batch).prediction, rtol=0, atol=1e-11)


def as_double(modality):
    """The same modality with values of double precision."""
    return type(modality)(**{**vars(modality), "values": modality.values.double()})


def test_made_data_is_ragged_and_in_the_sizes_asked_for():
    assert (len(DATA["train"]), len(DATA["valid"])) == (24, 8)
    assert {key: spec.size for key, spec in DATA.spec.modalities.items()} == {"text": 300, "audio": 5, "vision": 20}
    lengths = {key: column.lengths.float() for key, column in benchmark.made_data(2000)["train"].columns.items()}
    # MOSI's words a clip: median 10, mean 12; at most 50 are kept
    assert (lengths["text"].min(), lengths["text"].max()) == (1, 50)
    assert lengths["text"].median() == pytest.approx(10, abs=1)
    assert lengths["text"].mean() == pytest.approx(12, abs=1)
    assert torch.corrcoef(torch.stack([lengths["audio"], lengths["vision"]]))[0, 1] > 0.9


def test_full_padding_has_the_same_batches_and_all_of_the_longest_length():
    split = DATA["train"]
    full, own = list(benchmark.FullyPadded(split).batches(5, seed=3)), list(split.batches(5, seed=3))
    longest = {name: int(split.columns[name].lengths.max()) for name in split.columns}
    assert len(full) == len(own) == 5
    for padded, batch in zip(full, own, strict=True):
        assert torch.equal(padded.index, batch.index) and torch.equal(padded.target, batch.target)
        for name, modality in batch.modalities.items():
            assert padded[name].values.shape[1] == longest[name]
            assert torch.equal(padded[name].values[padded[name].mask], modality.values[modality.mask])
    assert any(batch["vision"].values.shape[1] < longest["vision"] for batch in own)


def test_slow_methods_are_timed_on_fewer_samples(ticking, monkeypatch):
    made = []
    monkeypatch.setattr(benchmark, "made_data", lambda samples: made.append(samples))
    benchmark.bench(["lf_dnn", "mult"], rounds=3)
    benchmark.bench(["mult"], rounds=3, samples=7)
    assert made == [1284, 48, 7]


def test_an_unknown_method_names_the_known():
    with pytest.raises(ConfigError, match=r'unknown benchmark "lf_dn". Did you mean lf_dnn\?[\s\S]*one of lf_dnn, lf_lstm, mfn, mult'):
        benchmark.bench(["lf_dn"], rounds=1, samples=8)
