"""Single samples as a table: the sentence, how it was meant, what two methods and each modality alone make of it, and which gates stood open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from workbench.errors import DataError
from workbench.figures.palette import styles

NUMBER = "text-align:right;vertical-align:top;padding:.35em .6em;white-space:nowrap;font-variant-numeric:tabular-nums"
WORDS = "text-align:left;vertical-align:top;padding:.35em .6em;white-space:normal"
SENTENCE = f"{WORDS};min-width:15em"
GATE = f"{WORDS};min-width:10em"
READ = "Bold: nearest to the truth. Alone: what the modality says alone, inside the first method (own task: its own head, Eq. 28, "
READ += "trained on made labels; readout: a ridge readout, fitted on train, of its representation before fusion, X^0)."
TRUE = "Small, below it: what the modality says in truth."
GATES = "Gate: the one that is furthest from its mean over the samples, in standard deviations."


@dataclass(frozen=True)
class CaseTable:
    """Samples, one a row; every text in it is escaped.

    Args:
        cases: what `workbench.cases.cases` gives.
        note: how the samples were chosen.
    """

    cases: tuple[Any, ...]
    note: str = ""

    @property
    def methods(self) -> list[str]:
        """The methods, in order."""
        return list(dict.fromkeys(name for case in self.cases for name in case.said))

    @property
    def modalities(self) -> list[str]:
        """The modalities that say something alone, in order."""
        return list(dict.fromkeys(name for case in self.cases for name in case.alone))

    @property
    def has_gates(self) -> bool:
        """True where some sample has a gate to show."""
        return any(case.gates for case in self.cases)

    def _repr_html_(self) -> str:
        looks = styles(self.modalities)
        head = _head("sample", SENTENCE) + _head("truth", NUMBER) + "".join(_head(name, NUMBER) for name in self.methods)
        head += "".join(_head(f"{looks[name].mark}\u00a0{name} alone{self._by(name)}", NUMBER) for name in self.modalities)
        head += _head("gate that stands out", GATE) if self.has_gates else ""
        body = "".join(f"<tr>{self._row(case, looks)}</tr>" for case in self.cases)
        has_truth = any(case.alone_true for case in self.cases)
        said = [self.note, READ if self.modalities else READ.partition(".")[0] + ".", TRUE if has_truth else "", GATES if self.has_gates else ""]
        note = f'<p class="note"><small>{escape(" ".join(part for part in said if part))}</small></p>'
        return f'<div class="wide"><table class="cases"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}'

    def _row(self, case: Any, looks: Mapping[str, Any]) -> str:
        sentence = f"“{escape(case.sentence)}”" if case.sentence else escape(case.sample)
        small = " · ".join(escape(part) for part in (case.note, case.sample if case.sentence else "") if part)
        cells = [f'<th scope="row" style="{SENTENCE};font-weight:normal">{sentence}<br><small>{small}</small></th>', _cell(case.truth, NUMBER)]
        cells += [_cell(case.said.get(name, "-"), NUMBER, is_bold=name in case.nearest) for name in self.methods]
        cells += [_cell(case.alone.get(name, "-"), NUMBER, below=case.alone_true.get(name, "")) for name in self.modalities]
        if self.has_gates:
            marks = {name: looks[name].mark if name in looks else escape(name) for name in case.gates}
            told = "<br>".join(f"<small>{marks[name]} {escape(said)}</small>" for name, said in case.gates.items())
            cells.append(f'<td style="{GATE}">{told}</td>')
        return "".join(cells)

    def _by(self, name: str) -> str:
        """Who speaks for a modality, where that is known."""
        said = next((case.alone_by[name] for case in self.cases if name in case.alone_by), "")
        return f" ({said})" if said else ""

    def __repr__(self) -> str:
        lines = [" | ".join(("sample", "truth", *self.methods, *(f"{name} alone{self._by(name)}" for name in self.modalities)))]
        for case in self.cases:
            said = (*(case.said.get(name, "-") for name in self.methods), *(case.alone.get(name, "-") for name in self.modalities))
            lines.append(" | ".join((case.sentence or case.sample, case.truth, *said)))
        return "\n".join(lines)


def _head(text: str, style: str) -> str:
    return f'<th scope="col" style="{style};white-space:normal">{escape(text)}</th>'


def _cell(text: str, style: str, *, is_bold: bool = False, below: str = "") -> str:
    text = f"<strong>{escape(text)}</strong>" if is_bold else escape(text)
    return f'<td style="{style}">{text}{f"<br><small>{escape(below)}</small>" if below else ""}</td>'


def case_table(cases: Sequence[Any], note: str = "") -> CaseTable:
    """Samples as a table (see `CaseTable`).

    Raises:
        DataError: there is no sample.
    """
    if not cases:
        raise DataError("case_table got no sample", expected="one or more (see workbench.cases.cases)")
    return CaseTable(tuple(cases), note)
