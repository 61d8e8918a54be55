"""A picture of a page, drawn by a real browser without a network: `python -m workbench.report.picture PAGE.html OUT.png [SECTION]`."""

import shutil
import sys
from pathlib import Path

from workbench.errors import ConfigError

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""Flags with which Chromium asks nothing of the network by itself."""


def browser_path() -> str:
    """Where Chromium is.

    Raises:
        ConfigError: there is none.
    """
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    raise ConfigError("no Chromium on this machine", do="apt-get install chromium, or leave the picture as it is")


def take_picture(page: Path, out: Path, *, section: str = "", width: int = 1280, height: int = 1000) -> Path:
    """Draws one screen of a page into a PNG.

    Args:
        page: an HTML file.
        out: the PNG to write.
        section: the id of the heading to stand on top; the page's top by default.
        width: of the window [px].
        height: of the window [px].

    Raises:
        ConfigError: the page or a browser is not there.
    """
    from playwright.sync_api import sync_playwright

    if not page.is_file():
        raise ConfigError(f"there is no page {page}", do="make report")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=list(QUIET))
        tab = browser.new_page(viewport={"width": width, "height": height})
        tab.goto(page.resolve().as_uri())
        tab.wait_for_selector("html[data-drawn=yes]")
        if section:
            tab.evaluate("id => document.getElementById(id).scrollIntoView()", section)
            tab.wait_for_timeout(300)
        tab.screenshot(path=str(out))
        browser.close()
    return out


if __name__ == "__main__":
    take_picture(Path(sys.argv[1]), Path(sys.argv[2]), section="".join(sys.argv[3:4]), height=1220)
