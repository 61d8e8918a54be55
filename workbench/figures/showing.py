"""A figure and its caption, in a notebook."""

import io
import json
import re
from typing import Any

from workbench.figures.captions import alt_of, caption_of

PLOTLY = "application/vnd.plotly.v1+json"


def show(figure: Any) -> None:
    """Displays a figure of this package and below it its caption.

    plotly figures go out as data only (a page of the report brings the script), matplotlib figures as SVG with real text.
    """
    from IPython.display import display

    caption = caption_of(figure)
    metadata = {"workbench": {"alt": alt_of(figure), "caption": caption}}
    bundle = {PLOTLY: json.loads(figure.to_json())} if hasattr(figure, "to_json") else {"image/svg+xml": svg(figure)}
    display(bundle | {"text/plain": caption or "figure"}, raw=True, metadata=metadata)
    if caption:
        text = {"text/markdown": f"*{escape_markdown(caption)}*", "text/plain": caption}
        display(text, raw=True, metadata={"workbench": {"is_caption": True}})


def escape_markdown(text: str) -> str:
    """The text with every character escaped that Markdown would read."""
    return re.sub(r"([\\`*_\[\]<>#$|~&])", r"\\\1", text)


def svg(figure: Any) -> str:
    """The matplotlib figure as an SVG with text as text, the same text for the same figure."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "workbench"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
