"""The picture of a page."""

import shutil

import pytest

from workbench.errors import ConfigError
from workbench.report import picture


def test_what_is_missing_is_said(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="there is no page"):
        picture.take_picture(tmp_path / "nothing.html", tmp_path / "out.png")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="no Chromium on this machine"):
        picture.browser_path()


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium: apt-get install chromium")
def test_a_section_stands_on_top(tmp_path):
    pytest.importorskip("playwright", reason="needs playwright: pip install -e .[dev]")
    page = tmp_path / "page.html"
    white, black = ('<div style="height:3000px;background:' + colour + '"></div>' for colour in ("#fff", "#000"))
    heading = '<h2 id="here" style="margin:0;background:#000">x</h2>'
    page.write_text(f'<html data-drawn="yes"><body style="margin:0">{white}{heading}{black}</body></html>')
    from matplotlib.image import imread

    top = imread(picture.take_picture(page, tmp_path / "top.png", width=200, height=200))
    section = imread(picture.take_picture(page, tmp_path / "section.png", section="here", width=200, height=200))
    assert top[..., :3].mean() > 0.99
    assert section[..., :3].mean() < 0.1
