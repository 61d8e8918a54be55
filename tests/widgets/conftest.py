"""One JupyterLab for all files of this folder, and a browser for each."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from widgets.lab import Lab, OpenedLab, started_browser


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab server; ended with its kernels at the end."""
    pytest.importorskip("jupyterlab", reason="needs JupyterLab: pip install -e .[dev]")
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; of one file only, because playwright cannot run twice at once."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e .[dev]")
    with playwright.sync_playwright() as running:
        started = started_browser(running)
        yield started
        started.close()


@pytest.fixture
def opened_lab(lab: Lab, browser: Any) -> Iterator[Callable[..., OpenedLab]]:
    """Opens notebooks in JupyterLab: `opened_lab("name", "a cell", "another", width=900, scheme="dark")`; closes them after the test."""
    opened: list[OpenedLab] = []

    def open_one(name: str, *cells: str, **options: Any) -> OpenedLab:
        opened.append(OpenedLab(lab, browser, name, *cells, **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
