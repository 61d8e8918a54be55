"""The studio in a real JupyterLab: pressed, watched, saved and read back, by people with and without a mouse."""

import ast
import time
from collections.abc import Callable
from statistics import median

from widgets.lab import OpenedLab, marks

pytestmark = marks

OPEN = """
from workbench.widgets import studio
made = studio(plan={'epochs': 5000, 'patience': 5000, 'device': 'cpu'}, options={'train': 400}, runs='runs')
made
"""

RELOAD = """
from workbench.runs import load_all
run = load_all('runs')[-1]
print('reloaded', run.config['balance'], run.metrics['epochs'], sum(p.numel() for p in run.model().parameters()) > 0)
"""

EPOCHS = "Number(/epoch ([0-9]+)/.exec(document.querySelector('.wb-status').innerText)?.[1] ?? 0)"

DRAWN = "document.querySelectorAll('.wb-panel-curve .js-plotly-plot')[0].data.find(trace => trace.name === 'valid').x.length"

LATENCY = """
async () => {
  const state = document.querySelector('.wb-state'), found = [];
  for (let i = 0; i < 20; i++) {
    const button = document.querySelector(i % 2 ? 'button.wb-start' : 'button.wb-pause');
    while (button.disabled) await new Promise(done => setTimeout(done, 5));
    const before = state.innerText, begun = performance.now();
    found.push(await new Promise(done => {
      const watcher = new MutationObserver(() => {
        if (state.innerText !== before) { watcher.disconnect(); done(performance.now() - begun); }
      });
      watcher.observe(state, { childList: true, subtree: true, characterData: true });
      button.click();
    }));
    await new Promise(done => setTimeout(done, 120));
  }
  return found;
}
"""


def test_start_watch_pause_balance_stop_save_and_read_back(opened_lab: Callable[..., OpenedLab]) -> None:
    opened = opened_lab("studio", "# A studio", OPEN, RELOAD, width=1400, height=1200)
    page = opened.page
    page.locator(".jp-CodeCell").first.click()
    page.keyboard.press("Shift+Enter")
    opened.wait(".wb-studio .js-plotly-plot .main-svg")
    opened.wait_idle()
    opened.wait_text("could reach", ".wb-sentence")
    opened.keep("studio_opens", ".wb-studio")
    page.locator("button.wb-start").click()
    opened.wait_until(f"{EPOCHS} >= 5")
    first = page.evaluate(DRAWN)
    opened.wait_until(f"{DRAWN} > {first}")
    # Paused, nothing moves.
    page.locator("button.wb-pause").click()
    opened.wait_text("Paused", ".wb-state")
    time.sleep(1)
    stood = page.evaluate(EPOCHS)
    time.sleep(1)
    assert page.evaluate(EPOCHS) == stood
    page.locator("button.wb-start").click()
    # B-fusion moves omega.
    page.locator(".wb-balance select").select_option("b_fusion")
    opened.wait_text("b_fusion weighs", ".wb-sentence")
    opened.wait_text("Weights of b_fusion", ".wb-panel-weights .gtitle")
    opened.wait_until(f"{EPOCHS} >= {stood + 4}")
    weights = ast.literal_eval(opened.value("[made.columns[f'weight.{name}'][-1] for name in made.modalities]"))
    assert max(weights) - min(weights) > 0.05
    opened.wait_until(f"{EPOCHS} >= {stood + 12}")
    opened.keep("studio", ".wb-studio")
    # A click is answered while it trains.
    answers = page.evaluate(LATENCY)
    assert len(answers) == 20
    assert median(answers) < 200, f"a click is answered after {median(answers):.0f} ms (median of 20)"
    page.locator("button.wb-stop").click()
    opened.wait_text("Stopped", ".wb-state")
    opened.wait_text("Saved:", ".wb-note")
    page.locator(".jp-CodeCell").nth(1).click()
    page.keyboard.press("Shift+Enter")
    opened.wait_text("reloaded b_fusion")
    assert opened.value("made.painter.error") == "None"
    assert opened.wrong == []


def test_by_keyboard_at_a_narrow_dark_window(opened_lab: Callable[..., OpenedLab]) -> None:
    opened = opened_lab("keys", OPEN, width=900, height=1200, scheme="dark")
    page = opened.page
    opened.run_all()
    opened.wait(".wb-studio .js-plotly-plot .main-svg")
    opened.wait_idle()
    page.locator(".wb-start").focus()
    page.keyboard.press("Enter")
    opened.wait_until(f"{EPOCHS} >= 3")
    page.keyboard.press("k")
    opened.wait_text("Paused", ".wb-state")
    # D D would delete the cell, were the notebook to hear it.
    page.keyboard.press("d")
    page.keyboard.press("d")
    assert page.locator(".wb-studio").count() == 1
    page.keyboard.press(".")
    page.keyboard.press("?")
    opened.wait_text("K pause", ".wb-note")
    slider = page.locator(".wb-set-plan-learning-rate .noUi-handle")
    slider.focus()
    before = ast.literal_eval(opened.value("made.choices.groups['plan']['plan.learning_rate'].value"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    opened.wait_until("!document.activeElement.classList.contains('noUi-handle')")
    assert ast.literal_eval(opened.value("made.choices.groups['plan']['plan.learning_rate'].value")) > before
    page.keyboard.press("s")
    opened.wait_text("Stopped", ".wb-state")
    figure = page.locator(".wb-panel-magnitude[role=img]")
    assert "gradient magnitude" in figure.get_attribute("aria-label")
    assert not opened.scrolls_sideways(".wb-studio")
    opened.keep("studio_dark_900", ".wb-studio")
    assert opened.wrong == []


def test_a_kernel_that_restarts_leaves_no_half_a_run(opened_lab: Callable[..., OpenedLab]) -> None:
    opened = opened_lab("restart", OPEN)
    opened.run_all()
    opened.wait(".wb-studio .js-plotly-plot .main-svg")
    opened.wait_idle()
    opened.page.locator("button.wb-start").click()
    opened.wait_until(f"{EPOCHS} >= 2")
    runs = opened.lab.root / "runs"
    stood = sorted(path.name for path in runs.iterdir()) if runs.is_dir() else []
    opened.lab.ask(f"/api/kernels/{opened.kernel_id()}/restart", "POST")
    opened.wait_idle()
    assert (sorted(path.name for path in runs.iterdir()) if runs.is_dir() else []) == stood
    assert not list(runs.glob(".*"))
