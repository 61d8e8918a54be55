"""A notebook's result in one sentence, for the report's index and the terminal."""

from html import escape
from typing import Any

from workbench.errors import ConfigError
from workbench.figures.cells import html_table

HEADLINE = "application/vnd.workbench.headline+json"


def headline(sentence: str, table: Any = None) -> None:
    """Shows a computed sentence, and takes it (with its table) to the report's first page and the terminal.

    Args:
        sentence: the finding, with its numbers, spread and n.
        table: a `ScoreTable` or a DataFrame.

    Raises:
        ConfigError: the sentence is empty.
    """
    from IPython.display import display

    if not isinstance(sentence, str) or not sentence.strip():
        raise ConfigError("a headline without a sentence", expected="one computed sentence: headline(say_difference(...))")
    data = {"sentence": sentence.strip(), "table": as_cells(table)}
    display({HEADLINE: data, "text/html": as_html(data), "text/plain": sentence.strip()}, raw=True)


def as_cells(table: Any) -> dict[str, Any] | None:
    """A table as plain data: `columns`, and `rows` of cells with a text; a page escapes them when it draws them."""
    if table is None:
        return None
    if hasattr(table, "as_dict"):
        return table.as_dict()
    frame = table.reset_index() if any(name is not None for name in table.index.names) else table
    rows = [[{"text": str(value)} for value in row] for row in frame.itertuples(index=False)]
    return {"columns": [str(column) for column in frame.columns], "rows": rows}


def as_html(data: dict[str, Any]) -> str:
    """What JupyterLab shows: the sentence in bold and the table, all escaped."""
    text = f"<p><strong>{escape(data['sentence'])}</strong></p>"
    return text + (html_table(data["table"]) if data["table"] else "")
