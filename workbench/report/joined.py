"""The pages' headline tables as the one table of the index: those with the same variants side by side, others below one another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.report.record import PageRecord

COSTS = ("parameters ↓", "s/epoch ↓")
ALONE = "text alone"
NOT_TRAINED = "text alone: not trained there."
Cells = dict[str, Any]


@dataclass(frozen=True)
class Joined:
    """Cells of one table, and the pages they come from."""

    pages: tuple[PageRecord, ...]
    cells: Cells


def joined(pages: Iterable[PageRecord]) -> list[Joined]:
    """The headline tables of the pages, joined where at least half of the rows of the smaller one stand in the other too.

    Tables of other variants stay apart: bold and ties hold among the rows that were compared, in one column of one page.
    """
    found: list[Joined] = []
    for page in pages:
        for headline in page.headlines:
            if headline.get("table"):
                _add(found, page, headline["table"])
    return [Joined(one.pages, _with_text_alone(one)) for one in found]


def _add(found: list[Joined], page: PageRecord, cells: Cells) -> None:
    """Puts a table beside one that it can be joined with, else at the end."""
    for place, one in enumerate(found):
        if _is_alike(one.cells, cells):
            pages = one.pages if page in one.pages else (*one.pages, page)
            found[place] = Joined(pages, _side_by_side(one.cells, cells))
            return
    found.append(Joined((page,), cells))


def _is_alike(first: Cells, second: Cells) -> bool:
    """True for tables of variants of which half have the same names, and no column twice: two pages that measured the same would seem one."""
    if any(cells["columns"][0] != "variant" or cells.get("blocks") for cells in (first, second)):
        return False
    names = [{row[0]["text"] for row in cells["rows"] if not row[0].get("is_italic")} for cells in (first, second)]
    has_twin = set(first["columns"][1:]) & set(second["columns"][1:]) - set(COSTS)
    return not has_twin and bool(names[0]) and 2 * len(names[0] & names[1]) >= min(len(names[0]), len(names[1]))


def _side_by_side(first: Cells, second: Cells) -> Cells:
    """One row a variant, the columns of both; costs at the end, once: as a range where they differ."""
    tables = [_split(cells) for cells in (first, second)]
    heads = {name: row[0] for cells in (second, first) for row in cells["rows"] for name in [row[0]["text"]]}
    order = list(dict.fromkeys(row[0]["text"] for cells in (first, second) for row in cells["rows"]))
    own = [name for name in order if not heads[name].get("is_italic")]
    scores = [column for columns, _, _ in tables for column in columns]
    has_costs = any(costs for _, _, costs in tables)
    rows = []
    for name in (*own, *(name for name in order if name not in own)):
        row = [heads[name]]
        for columns, by_name, _ in tables:
            row += by_name.get(name, [{"text": "-"} for _ in columns])
        rows.append(row + ([_range(_costs(costs, name, place) for _, _, costs in tables) for place in range(len(COSTS))] if has_costs else []))
    notes = " ".join(dict.fromkeys(cells["note"] for cells in (first, second) if cells.get("note")))
    return {"columns": ["variant", *scores, *(COSTS if has_costs else ())], "rows": rows, "note": notes}


def _split(cells: Cells) -> tuple[list[str], dict[str, list[Any]], dict[str, list[Any]]]:
    """The names of a table's scores, and by variant the cells of its scores and of its costs."""
    places = [place for place, column in enumerate(cells["columns"]) if place and column not in COSTS]
    costs = [cells["columns"].index(column) for column in COSTS if column in cells["columns"]]
    rows = {row[0]["text"]: row for row in cells["rows"]}
    by_cost = {name: [row[place] for place in costs] for name, row in rows.items()} if len(costs) == len(COSTS) else {}
    return [cells["columns"][place] for place in places], {name: [row[place] for place in places] for name, row in rows.items()}, by_cost


def _costs(costs: Mapping[str, Sequence[Any]], name: str, place: int) -> str:
    return str(costs[name][place]["text"]) if name in costs else "-"


def _range(texts: Iterable[str]) -> Cells:
    """`31,204`, or `31,204 to 45,901` where the data sets differ."""
    ends = {end for text in texts if text != "-" for end in text.split(" to ")}
    known = sorted(ends, key=lambda text: float(text.replace(",", "")))
    return {"text": " to ".join(dict.fromkeys([known[0], known[-1]])) if known else "-"}


def _with_text_alone(one: Joined) -> Cells:
    """The table with a row `text alone`: empty, and said so, where the pages have text and did not train it by itself."""
    cells = one.cells
    has_text = any("text" in card.get("modalities", ()) for page in one.pages for card in page.cards)
    names = {row[0]["text"] for row in cells["rows"]}
    is_ranked = any(cell.get("is_bold") for row in cells["rows"] for cell in row)
    if not has_text or not is_ranked or ALONE in names or cells["columns"][0] != "variant" or cells.get("blocks"):
        return cells
    own = [row for row in cells["rows"] if not row[0].get("is_italic")]
    empty = [{"text": ALONE}, *({"text": "-"} for _ in cells["columns"][1:])]
    note = " ".join(filter(None, (cells.get("note"), NOT_TRAINED)))
    return {**cells, "rows": [*own, empty, *cells["rows"][len(own) :]], "note": note}
