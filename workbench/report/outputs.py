"""A cell's outputs as they stand on a page: figures with captions, headlines, tables, text; everything that needs a network or a kernel left out."""

import base64
import gzip
import json
import re
from collections.abc import Collection, Mapping
from html import escape
from typing import Any

from workbench.figures.cells import TABLE, unbroken
from workbench.report.headline import HEADLINE
from workbench.report.still import still
from workbench.report.tables import page_table

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
LARGE = 60_000  # letters of a figure
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def tidy(outputs: list[Any], cards: Collection[str] = ()) -> tuple[list[dict[str, Any]], int]:
    """The outputs as HTML or Markdown bundles, and the number of figures among them; `cards` are the data cards that have a page."""
    shown: list[dict[str, Any]] = []
    figures = 0
    for output in merge_streams(sorted(outputs, key=is_log)):
        if output["output_type"] == "stream":
            shown += _stream(output)
        elif output["output_type"] in ("display_data", "execute_result"):
            if output.get("metadata", {}).get("workbench", {}).get("is_caption"):
                continue  # the figure above carries it
            bundle, is_figure = _bundle(output["data"], output.get("metadata", {}), cards)
            figures += is_figure
            shown.append(bundle)
    return [{"output_type": "display_data", "metadata": {}, "data": data} for data in shown], figures


def is_log(output: Mapping[str, Any]) -> bool:
    """True for the error stream: progress bars and warnings go below what a cell shows."""
    return output["output_type"] == "stream" and output["name"] == "stderr"


def merge_streams(outputs: list[Any]) -> list[Any]:
    """Neighbouring pieces of one stream as one."""
    merged: list[Any] = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output["output_type"] == "stream" and last.get("output_type") == "stream" and last["name"] == output["name"]:
            merged[-1] = {**last, "text": text_of(last["text"]) + text_of(output["text"])}
        else:
            merged.append(dict(output))
    return merged


def text_of(value: Any) -> str:
    """Notebook text, which may be a list of lines."""
    return "".join(value) if isinstance(value, list) else str(value)


def plain(text: str) -> str:
    """Terminal text for a page: no colour codes, and of a line that was rewritten only its last state."""
    lines = [[part for part in line.split("\r") if part.strip()] for line in ANSI.sub("", text).split("\n")]
    return "\n".join(parts[-1] if parts else "" for parts in lines).strip("\n")


def _stream(output: Mapping[str, Any]) -> list[dict[str, str]]:
    """Printed text; the error stream (progress bars, warnings) folded."""
    text = plain(text_of(output["text"]))
    if not text.strip():
        return []
    block = f"<pre>{escape(text)}</pre>"
    return [{"text/html": block if output["name"] == "stdout" else f'<details class="log"><summary>log</summary>{block}</details>'}]


def _bundle(data: Mapping[str, Any], metadata: Mapping[str, Any], cards: Collection[str]) -> tuple[dict[str, str], bool]:
    """The best form of one output, and whether it is a figure."""
    own = metadata.get("workbench", {})
    if HEADLINE in data:
        return {"text/html": f'<p class="headline">{escape(str(data[HEADLINE]["sentence"]))}</p>{_table(data[HEADLINE], cards)}'}, False
    if TABLE in data:
        return {"text/html": page_table(data[TABLE], cards)}, False
    if PLOTLY in data:
        return {"text/html": plotly_figure(data[PLOTLY])}, True
    if "image/svg+xml" in data:
        return {"text/html": _figure(themed_svg(text_of(data["image/svg+xml"])), own.get("caption", ""), own.get("alt", ""))}, True
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            image = (
                f'<img src="data:{kind};base64,{escape(text_of(data[kind]).strip())}" alt="{escape(own.get("alt") or "a picture without words")}">'
            )
            return {"text/html": _figure(image, own.get("caption", ""), "")}, True
    if WIDGET in data:
        return {"text/html": '<p class="note">Here the notebook has live controls: open it with <code>make lab</code>.</p>'}, False
    if "text/html" in data:
        return {"text/html": f'<div class="output">{text_of(data["text/html"])}</div>'}, False
    if "text/markdown" in data:
        return {"text/markdown": text_of(data["text/markdown"])}, False
    return {"text/html": f"<pre>{escape(plain(text_of(data.get('text/plain', ''))))}</pre>"}, False


def plotly_figure(figure: Mapping[str, Any]) -> str:
    """A plotly figure as data for page.js, with its caption, and as a still picture where no script runs."""
    meta = (figure.get("layout") or {}).get("meta") or {}
    meta = meta if isinstance(meta, Mapping) else {}
    height = int((figure.get("layout") or {}).get("height") or 450)
    # No text in a figure can end the script element: every "<" is written as an escape.
    data = json.dumps({"data": figure.get("data", []), "layout": figure.get("layout", {})}, separators=(",", ":")).replace("<", "\\u003c")
    plot = f'<div class="plot" style="height:{height}px"></div>{_packed(data)}<noscript>{still(figure)}</noscript>'
    return _figure(plot, str(meta.get("caption", "")), str(meta.get("alt", "") or "a figure without a caption"))


def _packed(data: str) -> str:
    """The figure's data in a script element; large data compressed, so that a page stays below 1 MB."""
    if len(data) < LARGE:
        return f'<script type="application/json">{data}</script>'
    packed = base64.b64encode(gzip.compress(data.encode(), 9, mtime=0)).decode()
    return f'<script type="application/json" data-packed="gzip">{packed}</script>'


def _figure(content: str, caption: str, alt: str) -> str:
    """A figure element; the picture is read out as its alternative text, the caption stands below."""
    label = f' role="img" aria-label="{escape(alt)}"' if alt else ""
    words = f"<figcaption>{escape(unbroken(caption))}</figcaption>" if caption else ""
    return f'<figure><div class="picture"{label}>{content}</div>{words}</figure>'


def themed_svg(svg: str) -> str:
    """A matplotlib SVG that follows the page's theme: white paper becomes the page's, ink the page's ink."""
    svg = svg[svg.find("<svg") :] if "<svg" in svg else ""
    for color, variable in (("#ffffff", "var(--paper)"), ("#1a1a1a", "var(--ink)"), ("#e3e3e3", "var(--grid)")):
        svg = re.sub(rf"(fill|stroke): {color}", rf"\1: {variable}", svg, flags=re.IGNORECASE)
    return svg


def _table(found: Mapping[str, Any], cards: Collection[str]) -> str:
    """A headline's table, where it has one."""
    return page_table(found["table"], cards) if found.get("table") else ""
