"""What there is, as plain rows: names for `workbench list`, a card's facts."""

from itertools import takewhile
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.errors import WorkbenchError, unknown


def listing(what: str) -> dict[str, str]:
    """Name and one line each, of methods, presets, datasets, balancers, encoders, notebooks or reports.

    Raises:
        ConfigError: there is no such list.
    """
    makers = {
        "methods": _methods,
        "presets": _presets,
        "datasets": _datasets,
        "balancers": _balancers,
        "encoders": _encoders,
        "notebooks": _notebooks,
        "reports": _reports,
    }
    if what not in makers:
        raise unknown("list", what, makers)
    return makers[what]()


def _first_line(thing: Any) -> str:
    return (thing.__doc__ or "").strip().splitlines()[0]


def _methods() -> dict[str, str]:
    from workbench import methods

    return {name: methods.reference(name) for name in methods.METHODS}


def _presets() -> dict[str, str]:
    """`method: name` of every published setting, and its source."""
    from workbench import methods

    return {f"{name}: {preset}": found.source for name in methods.METHODS for preset, found in methods.method(name).PRESETS.items()}


def methods_table(on: str = "") -> pd.DataFrame:
    """One row a method: name, family, what it does, the paper, what it needs, and its parameters on a data set.

    Args:
        on: a data set that is here; its methods are built with the settings that `workbench train` would take. Empty: no parameters.

    Raises:
        MissingDataError: the data set is not here.
    """
    from workbench import methods
    from workbench.data import load

    data = load(on) if on else None
    rows = []
    for name in methods.METHODS:
        found = methods.method(name)
        row = {"method": name, "family": found.family, "what": methods.reference(name), "paper": paper(found.reference), "needs": found.NEEDS}
        rows.append(row if data is None else row | _parameters(name, data))
    return pd.DataFrame(rows)


def method_lines(table: pd.DataFrame) -> str:
    """The methods' table for a terminal: by family, two lines a method (what it does; its paper and needs)."""
    lines = []
    width = table["method"].str.len().max()
    for family, rows in table.groupby("family", sort=False):
        lines.append(f"{family.replace('_', '-')}")
        for row in rows.to_dict("records"):
            count = f"{row['parameters']:>12,.0f}" if pd.notna(row.get("parameters")) else f"{'-':>12}"
            lines.append(f"  {row['method']:<{width}}{count if 'parameters' in row else ''}  {row['what']}")
            about = [row["paper"], f"needs {row['needs']}" if row["needs"] else "", row.get("note") or ""]
            lines += [f"  {'':<{width}}  {text}" for text in about if text]
    return "\n".join(lines)


def paper(reference: str) -> str:
    """What stands after `Source:` in a method's docstring, in one line: up to equations (indented more), `Decides:`, `Differs:` or an empty line."""
    before, _, rest = reference.partition("Source: ")
    indent = len(before) - len(before.rstrip(" "))

    def goes_on(line: str) -> bool:
        text = line.lstrip(" ")
        return bool(text) and len(line) - len(text) <= indent and not text.startswith(("Decides:", "Differs:"))

    first, *following = rest.splitlines() or [""]
    said = " ".join([first, *takewhile(goes_on, following)]).rstrip(" .,:;")
    return f"{' '.join(said.split())}." if said else ""


def _parameters(name: str, data: Any) -> dict[str, Any]:
    """The number of a method's trained parameters on a data set; where it cannot be built there, why."""
    from workbench.methods import build, prepare
    from workbench.ordering import order

    try:
        config = order(name, data).config
        model = build(name, config, prepare(data, config).spec)
    except WorkbenchError as error:
        return {"parameters": None, "note": error.what}
    return {"parameters": sum(p.numel() for p in model.parameters() if p.requires_grad), "note": ""}


def _datasets() -> dict[str, str]:
    from workbench.data import available
    from workbench.data.card import card, cards

    found = {name: card(name) for name in cards()}
    missing = {
        name: "" if available(name) else f"  (not here: workbench data {'fetch' if found[name].can_fetch else 'show'} {name})" for name in found
    }
    return {name: f"{card.title}{missing[name]}" for name, card in found.items()}


def _balancers() -> dict[str, str]:
    from workbench import balance

    rules = {name: balance.rule(name) for name in balance.RULES}
    return {name: f"{_first_line(module)} Source: {paper(module.__doc__)}" for name, module in rules.items()}


def _encoders() -> dict[str, str]:
    from workbench import encoders

    kinds = (encoders.MeanMLP, encoders.LSTMEncoder, encoders.TextTransformer, encoders.StepFeatures, encoders.LSTMSteps, encoders.TokenTransformer)
    kinds += (encoders.StepTransformer, encoders.ConvLSTMSteps, encoders.PatchTransformer, encoders.PretrainedImage)
    return {kind.__name__: _first_line(kind) for kind in kinds}


def _notebooks() -> dict[str, str]:
    import json

    from workbench.report import notebook_folder

    rows = {}
    for path in sorted(notebook_folder().glob("*.ipynb")):
        title = "".join(json.loads(path.read_text())["cells"][0]["source"]).splitlines()[0]
        rows[path.stem] = title.lstrip("# ")
    return rows


def _reports() -> dict[str, str]:
    """Title and notebooks of each report file; a notebook's name is a report, too."""
    from workbench.report import read_report, report_files

    found = {name: read_report(path) for name, path in report_files().items()}
    return {name: f"{report.title}: {', '.join(dict.fromkeys(entry.notebook for entry in report.pages))}" for name, report in found.items()}


def data_lines() -> list[str]:
    """One line a data set that is here, made on the spot, or can be fetched; what a report says before it starts."""
    from workbench.data import available
    from workbench.data.card import card, cards

    lines = []
    for name in cards():
        found = card(name)
        if available(name):
            lines.append(f"{name} is here" if found.sources else f"{name} made on the spot")
        elif found.can_fetch:
            size = sum(source.bytes or 0 for source in found.sources) / 1e6
            how_much = f"{size:.0f} MB" if size else f"{len(found.sources)} files"
            lines.append(f"{name} is not here and is left out. To have it: workbench data fetch {name}  ({how_much})")
    return lines


def card_facts(name: str, *, root: Path | None = None) -> dict[str, Any]:
    """The card's facts as plain values, the most asked first; `root` is where its data files would lie."""
    from workbench.data import available
    from workbench.data.card import card

    found = card(name)
    facts = {"name": found.name, "title": found.title, "is_here": available(name, root=root)}
    return {**facts, **{key: value for key, value in found.model_dump(mode="json").items() if key not in facts}}
