"""A notebook's result in one sentence, for the report's index and the terminal."""

from typing import Any

from workbench.errors import ConfigError

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
    from html import escape

    text = f"<p><strong>{escape(data['sentence'])}</strong></p>"
    if not data["table"]:
        return text
    head = "".join(f"<th>{escape(column)}</th>" for column in data["table"]["columns"])
    rows = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in data["table"]["rows"])
    return f"{text}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(cell: dict[str, Any]) -> str:
    from html import escape

    text = escape(str(cell["text"]))
    text = f"<strong>{text}</strong>" if cell.get("is_bold") else f"<em>{text}</em>" if cell.get("is_italic") else text
    return f"<td>{text}{' =' if cell.get('is_tied') else ''}</td>"
