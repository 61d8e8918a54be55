"""What `data check` found, in words: the warnings, and the text for the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.statistics import score

if TYPE_CHECKING:
    from workbench.data.inspection.check import CheckResult, ModalityCheck

MANY_ZERO_COLUMNS = 0.1
"""From this share of columns that are 0 throughout they are warned of."""


def warnings(result: "CheckResult") -> list[str]:
    """What a person should know, in sentences."""
    said = [sentence for found in result.modalities.values() for sentence in _of_modality(found)]
    if result.duplicates:
        said.append(f"{result.duplicates} samples are, in every modality, exactly an earlier sample")
    if result.shared_ids:
        said.append(f"{len(result.shared_ids)} ids are in two splits, {result.shared_ids[0]} among them: scores flatter")
    if result.repeated_ids:
        said.append(f'ids are not unique: "{result.repeated_ids[0]}" stands twice in its split')
    if result.shared_groups:
        said.append(f"{len(result.shared_groups)} videos or speakers are in two splits, {result.shared_groups[0]} among them: scores flatter")
    said += result.labels.warnings
    if not result.has_groups:
        said.append("videos or speakers are not known: neighbours inside train can look like a leak, and the errors are too small")
    return said


def _of_modality(found: "ModalityCheck") -> list[str]:
    said = []
    if found.is_leak:
        said.append(
            f"{found.name} knows the training labels: a linear probe reaches {score(found.inside)} inside train and {score(found.valid)} on valid; "
            "choose nothing by scores inside train"
        )
    if found.repeated:
        said.append(f"{found.name}: {found.repeated} samples of valid and test are exactly a sample of train")
    if found.twice:
        said.append(f"{found.name}: {found.twice} samples of train are exactly an earlier sample of train")
    if found.absent:
        said.append(f"{found.name}: {found.absent} samples have nothing ({'no known word' if found.kind == 'tokens' else 'all zeros'})")
    if found.zero_columns >= MANY_ZERO_COLUMNS:
        said.append(f"{found.name}: {found.zero_column_count} of {found.features} columns are 0 throughout")
    if found.constant_column_count > found.zero_column_count:
        said.append(f"{found.name}: {found.constant_column_count} of {found.features} columns never change in train")
    return said


def text(result: "CheckResult") -> str:
    """For the terminal: what was verified, a line a modality, the labels, the linear probe, and what to know."""
    lines = [f"{result.name}: the data is what its card says", *(f"  ok  {fact}" for fact in [*result.facts, *result.labels.facts])]
    lines += [f"  read  {said}" for said in result.reading]
    lines += ["", "modalities", *_modalities(list(result.modalities.values()))]
    lines += ["", *_labels(result), "", f"linear probe ({result.rule})", *_probe(result)]
    return "\n".join([*lines, *(["", *(f"warning: {said}" for said in warnings(result))] if warnings(result) else [])])


def leak_rows(result: "CheckResult") -> list[list[str]]:
    """A row a modality: its name, accuracy inside train and on valid with their standard errors, the difference, the verdict in words."""
    rows = []
    for name, found in result.modalities.items():
        gap = found.inside - found.valid
        inside, valid = _with_error(found.inside, found.inside_error), _with_error(found.valid, found.valid_error)
        verdict = "knows the training labels: a leak" if found.is_leak else "no leak found"
        rows.append([name, inside, valid, score(gap, sign=True), verdict if gap == gap else "not probed: a class has one sample"])
    return rows


def beware_rows(result: "CheckResult") -> list[list[str]]:
    """What the check warns of, what reading the files found, and what the card's author knows, one row each."""
    rows = [["check", said] for said in warnings(result)] or [["check", "nothing found"]]
    return [*rows, *(["reading", said] for said in result.reading), *(["card", said] for said in result.traps)]


def in_short(result: "CheckResult", *, split: str = "") -> str:
    """The finding in one sentence: the best linear model of one modality against chance, and which modalities leak."""
    split = split or list(result.chance)[-1]
    scores = {name: found[f"{split}_accuracy"] for name, found in result.baselines.items() if name in result.modalities}
    best = max(scores, key=lambda name: scores[name])
    half = 1.96 * result.errors[best][split]
    leaks = f"{' and '.join(result.leaks)} {'knows' if len(result.leaks) == 1 else 'know'} the training labels" if result.leaks else "no leak found"
    told = f"{best} alone reaches {score(scores[best])} ± {score(half)} (95 %) by a linear model on {split}, chance is {score(result.chance[split])}"
    return f"{told} ({result.rule}, n = {result.probed[split]}); {leaks}."


def _modalities(found: Sequence["ModalityCheck"]) -> list[str]:
    head = ["", "kind", "size", "steps (median)", "dtype", "zero columns", "constant", "zeros", "missing", "repeated"]
    rows = [[each.name, each.kind, f"{each.size:,}", steps(each), each.dtype, *_shares(each)] for each in found]
    return aligned([head, *rows], left=(0, 1))


def steps(found: "ModalityCheck") -> str:
    """`1 to 114 (11)`, or `1`."""
    return f"{found.shortest}" if found.shortest == found.longest else f"{found.shortest} to {found.longest} ({found.median:g})"


def _shares(found: "ModalityCheck") -> list[str]:
    """What is 0, constant, missing and repeated; words have no columns."""
    count = ["-", "-", "-"]
    if found.kind != "tokens":
        counts = (found.zero_column_count, found.constant_column_count)
        count = [*(f"{number} of {found.features}" if number else "none" for number in counts), f"{found.zeros:.1%}"]
    return [*count, f"{found.missing:.1%}" if found.missing else "none", str(found.repeated) if found.repeated else "none"]


def _labels(result: "CheckResult") -> list[str]:
    labels = result.labels
    head = [{"regression": "label", "multiclass": "class", "multilabel": "label"}[labels.kind], *labels.counts, "share of train"]
    shares = labels.shares()
    rows = [[name, *(f"{counts[i]:,}" for counts in labels.counts.values()), f"{shares[i]:.1%}"] for i, name in enumerate(labels.names)]
    return aligned([head, *rows], left=(0,))


def _probe(result: "CheckResult") -> list[str]:
    width = max(10, *(len(name) for name in result.baselines))
    lines = [f"  {'':<{width}} {'inside train':>15} {'valid':>15} {'test':>15}"]
    for name, scores in result.baselines.items():
        found, errors = result.modalities.get(name), result.errors[name]
        inside = _with_error(found.inside, found.inside_error) if found else ""
        shown = [_with_error(scores.get(f"{split}_accuracy"), errors.get(split)) for split in ("valid", "test")]
        flag = "   LEAK" if found and found.is_leak else ""
        lines.append(f"  {name:<{width}} {inside:>15} {shown[0]:>15} {shown[1]:>15}{flag}")
    chance = [score(result.chance.get(split, float("nan"))) for split in ("valid", "test")]
    return [*lines, f"  {'chance':<{width}} {'':>15} {chance[0]:>15} {chance[1]:>15}   (accuracy ± standard error)"]


def _with_error(value: float | None, error: float | None) -> str:
    return "-" if value is None or error is None or value != value else f"{score(value)} ± {score(error)}"


def aligned(rows: Sequence[Sequence[str]], *, left: tuple[int, ...] = ()) -> list[str]:
    """Rows of cells as lines: each column as wide as its widest cell, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    padded = [[cell.ljust(widths[i]) if i in left else cell.rjust(widths[i]) for i, cell in enumerate(row)] for row in rows]
    return [f"  {'  '.join(row)}".rstrip() for row in padded]
