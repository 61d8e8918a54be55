"""The one style sheet of everything live: a grid that wraps, focus that can be seen, and figures that turn dark with JupyterLab."""

import ipywidgets as ip

STYLE = """<style>
.wb-live { max-width: 100%; }
.wb-live .wb-grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(490px, max-content)); gap: 6px 14px; overflow: visible; }
.wb-live .widget-vbox, .wb-live .widget-hbox { overflow: visible; }
.wb-live .wb-wrap { flex-wrap: wrap; }
.wb-live .widget-html-content { line-height: 1.45; white-space: normal; }
.wb-live .wb-sentence .widget-html-content { font-size: 15px; max-width: 960px; }
.wb-live .wb-state .widget-html-content { font-weight: 600; font-size: 15px; }
.wb-live .wb-code pre { padding: 8px 10px; border: 1px solid var(--jp-border-color1, #ccc); overflow-x: auto; max-width: 960px; }
.wb-live .wb-error { border-left: 4px solid #B42318; padding: 4px 10px; margin: 4px 0; max-width: 960px; }
.wb-live button:focus-visible, .wb-live select:focus-visible, .wb-live input:focus-visible, .wb-live .noUi-handle:focus-visible,
.wb-live:focus-visible { outline: 3px solid var(--jp-ui-font-color1, #1A1A1A) !important; outline-offset: 1px; }
.wb-live button:disabled { opacity: .45; }
body[data-jp-theme-light="false"] .wb-live .js-plotly-plot { filter: invert(.93) hue-rotate(180deg); }
</style>"""
"""Inverted and turned back by half a circle, hues stay what they are and become lighter, as the palette's dark colours are."""


def style_sheet(style: str = STYLE) -> ip.HTML:
    """The widget that brings a style sheet, the common one or one's own beside it; it shows nothing."""
    return ip.HTML(style, layout={"height": "0", "margin": "0"})
