"""Loss terms and made labels of a run, as tables."""

import numpy as np
import pytest
import xarray as xr

from workbench.errors import DataError
from workbench.fitting import fit
from workbench.probes.histories import guarded, loss_terms, made_labels

SMALL = {"hidden_size": 8, "post_size": 5}
PLAN = {"epochs": 2, "probe_every": 0}


def test_terms_are_those_that_the_trainer_added(toy, tmp_path):
    run = fit("constraint.cmd", toy, config=SMALL, plan=PLAN, runs=tmp_path)
    frame = loss_terms([run])
    history = run.trace["history"].to_dataset()
    terms = [name for name in history.data_vars if str(name).startswith("loss_")]
    assert terms and set(frame["term"]) == {name.removeprefix("loss_") for name in terms}
    first = frame[frame["term"] == terms[0].removeprefix("loss_")].sort_values("epoch")
    assert first["epoch"].tolist() == [1, 2]
    np.testing.assert_allclose(first["value"], history[terms[0]].values)
    assert set(frame["variant"]) == {run.variant}


def test_a_method_without_terms_has_no_row(toy, tmp_path):
    run = fit("lf_dnn", toy, config=SMALL, plan=PLAN, runs=tmp_path)
    assert loss_terms([run]).empty
    assert list(loss_terms([]).columns) == ["variant", "seed", "epoch", "term", "value"]
    with pytest.raises(DataError, match="recorded no labels of its own making"):
        made_labels(run, toy)


def test_made_labels_stand_beside_the_label_of_the_whole(toy, tmp_path):
    run = fit("self_mm", toy, config=SMALL, plan=PLAN, runs=tmp_path)
    frame = made_labels(run, toy)
    recorded: xr.Dataset = run.trace["snapshots"].to_dataset()
    assert frame["epoch"].unique().tolist() == [1, 2]
    row = frame[(frame["sample"] == 7) & (frame["modality"] == "audio") & (frame["epoch"] == 2)].iloc[0]
    assert row["value"] == pytest.approx(float(recorded["pseudo_label"].sel(epoch=2, sample=7, modality="audio")))
    assert row["target"] == pytest.approx(float(toy["train"].target[7]))
    assert len(frame) == 2 * len(toy["train"]) * 3


def test_how_often_the_floor_held_by_epoch(toy, tmp_path):
    """With a floor that no alpha reaches, every renewal of epochs 2 and 3 is one; methods without labels have no row."""
    high = fit("mmiln", toy, config={**SMALL, "layers": 1, "floor": 1e3}, plan={**PLAN, "epochs": 3}, preset="none", runs=tmp_path)
    low = fit("mmiln", toy, config={**SMALL, "layers": 1, "floor": 1e-12}, plan={**PLAN, "epochs": 3}, preset="none", runs=tmp_path)
    other = fit("lf_dnn", toy, config=SMALL, plan=PLAN, runs=tmp_path)
    frame = guarded([high, other])
    assert frame[["epoch", "value", "samples"]].to_numpy().tolist() == [[1, 0, 96], [2, 96, 96], [3, 96, 96]]
    assert guarded([low])["value"].tolist() == [0, 0, 0] and not len(guarded([other]))
