"""A real JupyterLab in headless Chromium, with nothing of the user's: one server, notebooks that the tests write, and an end for every kernel.

opened = opened_lab("trial", "from workbench.widgets import dial\ndial()")     # the fixture of tests/widgets/conftest.py
opened.run_all()
opened.wait(".wb-dial")
opened.keep("dial_light_900")
assert opened.wrong == []
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import nbformat
import psutil
import pytest
from jupyter_client import BlockingKernelClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from workbench.report.picture import QUIET

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = "test"
PATIENCE = 30
"""Seconds that anything may take before a test fails."""

OVERRIDES = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    # The page follows the browser's colour scheme, light or dark.
    "@jupyterlab/apputils-extension:themes": {"adaptive-theme": True},
}
"""Settings of JupyterLab in the tests: no toast, no question to jupyter.org."""

OWN = ("data:", "blob:", "about:")

marks = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
"""For `pytestmark` of a file that opens JupyterLab."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Lab:
    """A JupyterLab server of its own, over a folder.

    Args:
        folder: an empty folder; the notebooks lie in `folder/notebooks`.
    """

    def __init__(self, folder: Path) -> None:
        self.root, self.runtime = folder / "notebooks", folder / "runtime"
        for path in (self.root, self.runtime, folder / "config" / "labconfig", folder / "home"):
            path.mkdir(parents=True, exist_ok=True)
        (folder / "config" / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(OVERRIDES))
        self.port = free_port()
        places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_RUNTIME_DIR": "runtime", "HOME": "home"}
        surroundings = {**os.environ, **{name: str(folder / place) for name, place in places.items()}, "JUPYTER_PREFER_ENV_PATH": "1"}
        options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={self.port}", "--ServerApp.port_retries=0"]
        options += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={self.root}"]
        options += ["--LabApp.extension_manager=readonly", "--KernelManager.transport=ipc", "--KernelManager.shutdown_wait_time=1.0"]
        self.log = folder / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *options], env=surroundings, cwd=self.root, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_up()

    def ask(self, path: str, method: str = "GET") -> Any:
        """An answer of the server's own interface."""
        request = Request(f"http://127.0.0.1:{self.port}{path}", method=method, headers={"Authorization": f"token {TOKEN}"})
        with urlopen(request, timeout=10) as answer:
            said = answer.read()
        return json.loads(said) if said else None

    def write(self, name: str, *cells: str) -> str:
        """A notebook whose cells are code, or text where they start with #; gives its address."""
        made = [new_markdown_cell(cell) if cell.startswith("#") else new_code_cell(cell.strip()) for cell in cells]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(new_notebook(cells=made, metadata={"kernelspec": kernel}), self.root / f"{name}.ipynb")
        return f"http://127.0.0.1:{self.port}/lab/tree/{name}.ipynb?token={TOKEN}&reset"

    def end_kernels(self) -> None:
        """Ends every kernel."""
        with suppress(URLError, OSError):
            for session in self.ask("/api/sessions"):
                self.ask(f"/api/sessions/{session['id']}", "DELETE")

    def close(self) -> None:
        """Ends the server and whatever it started, for sure."""
        self.end_kernels()
        family = [psutil.Process(self.process.pid)] if self.process.poll() is None else []
        family += family[0].children(recursive=True) if family else []
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        psutil.wait_procs(family, timeout=5)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(10)

    def _wait_until_up(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with suppress(URLError, OSError):
                self.ask("/api/status")
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.close()
        raise AssertionError(f"JupyterLab did not start:\n{self.log.read_text()[-3000:]}")


class OpenedLab:
    """One notebook in one browser page.

    Args:
        lab: the server.
        browser: a running Chromium.
        name, cells: the notebook (see `Lab.write`).
        width, height: of the window.
        scheme: `light` or `dark`.
        has_side_bar: with the file browser at the left, which takes 300 px.

    `page` is playwright's page; `wrong` holds every console error, uncaught error, and request to anywhere but this machine.
    """

    def __init__(
        self, lab: Lab, browser: Any, name: str, *cells: str, width: int = 1400, height: int = 1000, scheme: str = "light", has_side_bar: bool = False
    ) -> None:
        self.lab, self.name, self.wrong = lab, name, []
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        own = (*OWN, f"http://127.0.0.1:{lab.port}/")
        self.page.on("console", lambda message: self.wrong.append(f"console: {message.text}") if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(f"uncaught: {error}"))
        self.page.on("request", lambda request: None if request.url.startswith(own) else self.wrong.append(f"request: {request.url}"))
        self.page.goto(lab.write(name, *cells))
        self.wait(".jp-NotebookPanel .jp-Notebook .jp-Cell")
        self.wait_idle()
        if not has_side_bar and self.page.locator("#jp-left-stack").is_visible():
            self.page.keyboard.press("Control+b")
            self.page.locator("#jp-left-stack").wait_for(state="hidden")

    def run_all(self) -> None:
        """Run > Run All Cells; does not wait for their end."""
        self.page.locator(".lm-MenuBar-item", has_text="Run").first.click()
        self.page.locator('.lm-Menu [data-command="runmenu:run-all"]').click()

    def wait_idle(self) -> None:
        """Waits until the kernel is there and does nothing."""
        self.page.locator("#jp-main-statusbar", has_text="(ipykernel) | Idle").wait_for()
        self.wait('.jp-NotebookPanel-toolbar .jp-Notebook-ExecutionIndicator[data-status="idle"]')

    def wait(self, css: str, **options: Any) -> Any:
        """Waits until the first of this selector can be seen (`state=`, `timeout=` [ms] as playwright has them); gives its locator."""
        found = self.page.locator(css).first
        found.wait_for(**options)
        return found

    def wait_text(self, text: str, css: str = ".jp-OutputArea-output") -> Any:
        """Waits until a part of the page shows a text."""
        found = self.page.locator(css, has_text=text).first
        found.wait_for()
        return found

    def wait_until(self, script: str, argument: Any = None) -> Any:
        """Waits until a JavaScript expression (or function of `argument`) is true; gives its value."""
        return self.page.wait_for_function(script, arg=argument).json_value()

    def text(self, css: str) -> str:
        """What the first of this selector says."""
        return self.page.locator(css).first.inner_text()

    def scrolls_sideways(self, css: str) -> bool:
        """True where this, or anything in it, is wider than its place."""
        script = (
            "css => { const cell = document.querySelector(css).closest('.jp-OutputArea-output');"
            " return [cell, ...cell.querySelectorAll('*')].some(part => part.scrollWidth > part.clientWidth + 1"
            " && ['auto', 'scroll'].includes(getComputedStyle(part).overflowX)); }"
        )
        return self.page.evaluate(script, css)

    def kernel_id(self) -> str:
        """The kernel of this notebook."""
        return next(session["kernel"]["id"] for session in self.lab.ask("/api/sessions") if session["path"] == f"{self.name}.ipynb")

    def value(self, expression: str) -> str:
        """An expression's value in the kernel, as `repr` gives it; works while widgets do something in the background."""
        client = BlockingKernelClient(connection_file=str(self.lab.runtime / f"kernel-{self.kernel_id()}.json"))
        client.load_connection_file()
        client.start_channels()
        try:
            reply = client.execute("", silent=True, user_expressions={"value": expression}, reply=True, timeout=PATIENCE)
        finally:
            client.stop_channels()
        said = reply["content"]["user_expressions"]["value"]
        assert said["status"] == "ok", f"{expression}: {said.get('ename')}: {said.get('evalue')}"
        return said["data"]["text/plain"]

    def keep(self, name: str, css: str = "") -> None:
        """A picture for people, where WORKBENCH_SCREENSHOTS names a folder: of the window, or of a part."""
        folder = os.environ.get("WORKBENCH_SCREENSHOTS")
        if folder:
            part = self.page.locator(css).first if css else self.page
            part.screenshot(path=str(Path(folder) / f"{name}.png"))

    def close(self) -> None:
        """Closes the page and ends its kernel."""
        self.context.close()
        with suppress(URLError, OSError):
            for session in self.lab.ask("/api/sessions"):
                if session["path"] == f"{self.name}.ipynb":
                    self.lab.ask(f"/api/sessions/{session['id']}", "DELETE")


def started_browser(playwright: Any) -> Any:
    """A headless Chromium that asks nothing of the network."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
