"""The sample explorer in a real JupyterLab: it opens with a prediction, muting moves it, the next sample follows, and nothing goes wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from widgets.lab import OpenedLab, marks

from workbench.data import load
from workbench.fitting import fit

pytestmark = marks

DIALS = {"synergy": 0.7, "redundancy": 0.1, "noise": 0.0, "informativeness": {"text": 0.95, "audio": 0.95, "vision": 0.6}}


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with attention; well trained where its pictures are kept."""
    sizes = {"samples": 1600, "valid": 300} if os.environ.get("WORKBENCH_SCREENSHOTS") else {"samples": 160, "valid": 60}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(tmp_path_factory.mktemp("data")))
        data = load("opinions/synergy", seed=0, test=40, align_to="text", **sizes, **DIALS)
        config = {} if sizes["samples"] > 1000 else {"hidden_size": 16}
        plan = {"epochs": 8 if sizes["samples"] > 1000 else 2, "learning_rate": 3e-3}
        return fit("attention.cross", data, config=config, plan=plan, runs=tmp_path_factory.mktemp("runs")).path


def opened(opened_lab: Callable[..., OpenedLab], run_path: Path, name: str, **options: object) -> OpenedLab:
    """The explorer, open and at rest."""
    cell = f"from workbench.widgets import explorer\nseen = explorer({str(run_path)!r})\nseen"
    lab = opened_lab(name, cell, **options)
    lab.run_all()
    # A busy machine takes its time to import torch and captum in the new kernel.
    lab.wait(".wb-explorer .wb-see-states .js-plotly-plot .main-svg", timeout=120_000)
    at_rest(lab)
    return lab


def at_rest(lab: OpenedLab) -> None:
    lab.page.locator(".wb-explorer .wb-state", has_text="Ready").wait_for(timeout=120_000)
    lab.page.wait_for_timeout(400)


def score_of(lab: OpenedLab) -> float:
    return float(lab.value("float(seen.prediction)"))


def test_mute_swap_next_and_pin(opened_lab: Callable[..., OpenedLab], run_path: Path) -> None:
    lab = opened(opened_lab, run_path, "explorer", width=1400, height=1900)
    before, row = score_of(lab), lab.value("seen.row")
    sentence = " ".join(lab.page.locator(".wb-explorer .wb-sentence").all_inner_texts())
    assert f"{abs(before):.2f}".lstrip("0") in sentence
    lab.keep("explorer_light_1400", ".jp-NotebookPanel")

    name = lab.value("seen.opened.modalities[int(seen.opened.subsets.moved[:, seen.row].argmax())]").strip("'")
    lab.page.locator(f".wb-mute-{name} input").click()
    lab.wait_until("name => document.querySelector('.wb-explorer .wb-see-states').ariaLabel.startsWith(`Muting ${name} `)", name)
    assert score_of(lab) != before
    lab.keep("explorer_muted_light_1400", ".jp-NotebookPanel")
    lab.keep("explorer", ".wb-explorer")

    lab.page.locator(".wb-explorer .wb-next button, .wb-explorer button.wb-next").first.click()
    lab.wait_until("row => document.querySelector('.wb-explorer .wb-sample input').value !== row", row)
    at_rest(lab)
    assert lab.value("seen.row") != row
    assert lab.value("tuple(seen.look.muted)") == f"('{name}',)"
    assert lab.wrong == []


def test_keys_and_clicks(opened_lab: Callable[..., OpenedLab], run_path: Path) -> None:
    lab = opened(opened_lab, run_path, "explorer_keys", width=900, height=1600, scheme="dark")
    lab.keep("explorer_dark_900", ".jp-NotebookPanel")
    assert not lab.scrolls_sideways(".wb-explorer")
    row = lab.value("seen.row")
    lab.page.locator(".wb-explorer button.wb-next").first.focus()
    lab.page.keyboard.press("n")
    lab.wait_until("row => document.querySelector('.wb-explorer .wb-sample input').value !== row", row)
    lab.page.keyboard.press("p")
    lab.wait_until("row => document.querySelector('.wb-explorer .wb-sample input').value === row", row)
    lab.page.keyboard.press("m")
    lab.wait_until("document.querySelector('.wb-explorer .wb-mute input').checked")
    lab.page.keyboard.press("i")
    lab.page.keyboard.press("n")
    lab.wait(".wb-explorer .wb-see-pinned .js-plotly-plot")
    at_rest(lab)
    assert lab.page.locator('.wb-explorer .wb-see-states[role="img"], .wb-explorer [role="img"]').count() >= 3
    label = lab.page.locator(".wb-explorer .wb-see-states").get_attribute("aria-label")
    assert label
    assert "prediction" in label
    lab.keep("explorer_pinned_dark_900", ".jp-NotebookPanel")
    assert lab.page.locator(".jp-Notebook .jp-Cell").count() == 1, "a key of the explorer did something to the notebook"
    assert lab.wrong == []
