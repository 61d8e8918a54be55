"""A claim of a paper about one numbered table or figure: what it says, which way, and what our runs measure of it.

The text of a claim is a paraphrase of the paper, with the paper's numbers. It never says how the claim fares here: that is `workbench.claims.judged`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from workbench.data.batch import TaskSpec
from workbench.errors import ConfigError, WorkbenchError
from workbench.experiments import Results
from workbench.statistics import Difference, paired_difference
from workbench.studies import any_draw
from workbench.taxonomy import Data

Direction = Literal["better", "above", "below", "on par"]
"""Which side of the difference is claimed: the better one by the metric, a larger value, a smaller value, or not worse by more than a margin."""

DRAWING = "a drawing of the model, no result"
SETTINGS = "settings, no result; the repository has them as presets"
COUNTS = "counts of the data, no result"


class UntestableError(WorkbenchError):
    """A claim that these runs, or this data, cannot test; the message is the reason, in words."""


@dataclass(frozen=True)
class Measured:
    """Two quantities by seed, and what they are.

    Args:
        after, before: values by seed; a constant stands for every seed.
        names: what the two are called.
        quantity: what is measured, e.g. `Acc-2 (negative / positive)`, `log2 of a ratio of gradients`.
        is_error: less of it is better.
        is_exact: counted, not sampled: there is no interval, and one number is enough.
        has_constant: `before` is one number that is no result.
    """

    after: pd.Series
    before: pd.Series
    names: tuple[str, str]
    quantity: str
    is_error: bool = False
    is_exact: bool = False
    has_constant: bool = False

    @property
    def pairs(self) -> pd.DataFrame:
        """Columns after and before, a row for each seed that both have.

        Raises:
            UntestableError: they share no seed.
        """
        found = pd.concat([self.after, self.before], axis=1, join="inner", keys=["after", "before"]).dropna()
        if not len(found):
            raise UntestableError(f"{self.names[0]} and {self.names[1]} share no seed")
        return found

    def difference(self) -> Difference:
        """After less before, paired by seed; an exact one has no width."""
        pairs = self.pairs
        found = paired_difference(pairs["after"].to_numpy(), pairs["before"].to_numpy())
        return Difference(found.mean, found.mean, found.mean, 0.0 if found.mean else 1.0, found.n) if self.is_exact else found


@dataclass(frozen=True)
class Findings:
    """What was trained for a paper.

    Args:
        results: comparison to its runs.
        data: comparison to the data they saw.
        missing: comparison (or variant) to why it is not there, in words.
        notes: facts in words for items that are no results, by item.
    """

    results: Mapping[str, Results]
    data: Mapping[str, Data]
    missing: Mapping[str, str]
    notes: Mapping[str, str]

    def of(self, comparison: str) -> Results:
        """The runs of a comparison.

        Raises:
            UntestableError: it was not made.
        """
        if comparison not in self.results:
            raise UntestableError(self.missing.get(comparison, f"{comparison}: not trained"))
        return self.results[comparison]

    def variant(self, comparison: str, name: str) -> Results:
        """The runs of one variant.

        Raises:
            UntestableError: none was finished; says why where it is known.
        """
        found = self.of(comparison).only(name)
        if not found.runs:
            failed = [row["error"] for row in found.failed]
            first = failed[0].splitlines()[0] if failed else ""
            raise UntestableError(f"the runs of {name} failed ({first})" if failed else self.missing.get(name, f"{name} was not trained"))
        return found

    def task(self, comparison: str) -> TaskSpec:
        """What is predicted in a comparison."""
        self.of(comparison)
        return any_draw(self.data[comparison]).spec.task


Measure = Callable[[Findings], Measured]


@dataclass(frozen=True)
class Claim:
    """One claim.

    Args:
        item: `Table 3`, `Figure 1`.
        says: what the paper claims, in one sentence, with its numbers.
        about: what tells it from other claims of the same item, e.g. the method.
        measure: from what was trained to the two quantities that are compared; None where there is nothing to measure.
        direction: the claimed side of their difference.
        margin: of `on par`, by how much worse still counts, in units of the quantity.
        why_not: of an item that is no result, why.

    Raises:
        ConfigError: neither a measure nor a reason, or both; a margin without `on par`, or `on par` without one.
    """

    item: str
    says: str
    about: str = ""
    measure: Measure | None = None
    direction: Direction = "better"
    margin: float = 0.0
    why_not: str = ""

    def __post_init__(self) -> None:
        if (self.measure is None) != bool(self.why_not):
            raise ConfigError(f"the claim of {self.item} needs a measure or a reason why there is none", expected="one of measure, why_not")
        if (self.direction == "on par") != (self.margin > 0):
            raise ConfigError(f"the claim of {self.item} has margin {self.margin} and direction {self.direction}", expected="on par with a margin")

    @property
    def title(self) -> str:
        """`Table 3, LF-DNN`."""
        return f"{self.item}, {self.about}" if self.about else self.item

    def side(self, measured: Measured) -> int:
        """1 where a positive difference is claimed, -1 where a negative one is."""
        if self.direction in ("above", "below"):
            return 1 if self.direction == "above" else -1
        return -1 if measured.is_error else 1


def drawing(item: str, says: str, where: str) -> Claim:
    """A drawing of the model; `where` is the notebook that draws it from a trained one."""
    return Claim(item, says, why_not=f"{DRAWING}; drawn from a trained model in notebook {where}")


def absent(item: str, about: str, says: str, why_not: str) -> Claim:
    """A claim about what the workbench does not have."""
    return Claim(item, says, about=about, why_not=why_not)
