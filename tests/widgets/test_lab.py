"""The harness itself: a widget answers in a real JupyterLab, and what goes wrong is heard."""

from collections.abc import Callable

from widgets.lab import OpenedLab, marks

pytestmark = marks

CELL = """
import ipywidgets
slider = ipywidgets.IntSlider(3, 0, 10, description="level")
slider.add_class("wb-trial")
slider
"""


def test_a_slider_moves_by_keyboard_and_the_kernel_hears_it(opened_lab: Callable[..., OpenedLab]) -> None:
    opened = opened_lab("trial", "# A trial", CELL, "import workbench, sys\nprint(workbench.__file__, sys.executable)", width=900, scheme="dark")
    opened.run_all()
    opened.wait_text("workbench/__init__.py")
    opened.wait_idle()
    handle = opened.wait(".wb-trial .noUi-handle")
    handle.focus()
    opened.page.keyboard.press("ArrowRight")
    opened.wait_text("4", ".wb-trial .widget-readout")
    assert opened.value("slider.value") == "4"
    assert opened.page.evaluate("document.body.dataset.jpThemeLight") == "false"
    assert not opened.scrolls_sideways(".wb-trial")
    opened.keep("harness", ".jp-Notebook")
    assert opened.wrong == []


def test_errors_and_outside_requests_are_heard(opened_lab: Callable[..., OpenedLab]) -> None:
    opened = opened_lab("wrong", "1 + 1")
    opened.page.evaluate("console.error('said'); setTimeout(() => { throw new Error('thrown') }); new Image().src = 'http://127.0.0.2:9/x.png'")
    opened.page.wait_for_timeout(300)
    assert [line.split(":")[0] for line in sorted(set(opened.wrong))][:1] == ["console"]
    assert {"console: said", "uncaught: thrown", "request: http://127.0.0.2:9/x.png"} <= set(opened.wrong)
