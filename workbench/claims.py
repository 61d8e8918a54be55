"""The claims of four papers, item by item, against finished runs: one rule gives each its verdict.

    setup = Setup(dataset="opinions/balanced", seeds=5)
    found = judged("mldfa", setup)
    figures.fact_table(claim_rows(found.frame), *HEAD)       # item, claim, ours, verdict
    figures.verdict_forest(found.frame)

The rule. A claim names two quantities and a side of their difference. Paired by seed, by Student's t, the claims of one table or figure judged at
once (Holm, 5 %): supported where the difference is found on the claimed side; not supported where it is found on the other side, or not found;
not testable where there is nothing to measure, where it failed, or with one seed. For "on par" the difference must be found above minus the margin.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from types import ModuleType
from typing import Any

import pandas as pd

from workbench.errors import WorkbenchError, unknown
from workbench.papers import adaptive_weight_fusion, delta_attention, mldfa, mmiln
from workbench.papers.claim import Claim, Findings, Measured
from workbench.papers.setup import Setup
from workbench.statistics import Difference, holm, mean_and_spread, p_value, score
from workbench.studies import published, titles

PAPERS: dict[str, ModuleType] = {
    "adaptive_weight_fusion": adaptive_weight_fusion,
    "mldfa": mldfa,
    "mmiln": mmiln,
    "delta_attention": delta_attention,
}

SUPPORTED, OPPOSITE, NO_DIFFERENCE, UNTESTABLE = "supported", "opposite", "no difference", "not testable"
VERDICTS = (SUPPORTED, OPPOSITE, NO_DIFFERENCE, UNTESTABLE)

WORDS = {
    SUPPORTED: "supported",
    OPPOSITE: "not supported: the opposite was found",
    NO_DIFFERENCE: "not supported: no difference found",
    UNTESTABLE: "not testable",
}

COLUMNS = ("paper", "item", "about", "claim", "quantity", "after", "before", "mean", "low", "high", "p", "n", "side", "margin", "verdict")
COLUMNS += ("is_found_alone", "reason", "ours")


@dataclass(frozen=True)
class Judged:
    """A paper's claims with their verdicts, and the runs behind them.

    Args:
        name, title: of the paper.
        frame: a row a claim (see `judge`).
        findings: what was trained.
    """

    name: str
    title: str
    frame: pd.DataFrame
    findings: Findings

    def scores(self) -> tuple[pd.DataFrame, list[str]]:
        """Scores on test as `figures.score_table` takes them, and the metrics' names for people; no metric where nothing was trained.

        The metrics are those of the paper's tables, or the headline where the task has none of them.
        """
        comparisons, wanted = PAPERS[self.name].SHOWN
        made = [self.findings.results[name] for name in comparisons if name in self.findings.results]
        if not made:
            return pd.DataFrame(columns=["variant", "seed", "split", "metric", "value"]), []
        known = pd.concat([results.scores() for results in made]).dropna(subset=["value"]).drop_duplicates(["variant", "seed", "metric"])
        metrics = [name for name in wanted if name in set(known["metric"])] or [made[0].headline]
        rows = known[known["metric"].isin(metrics)]
        return rows.assign(metric=rows["metric"].map(lambda name: titles([name])[0])), titles(metrics)

    def printed(self, metrics: Sequence[str]) -> pd.DataFrame | None:
        """What the paper printed, from the data card, as `figures.score_table` takes it: never ranked, what is not as here in the source.

        Args:
            metrics: titles of the metrics that are shown.
        """
        name, table = PAPERS[self.name].PRINTED
        own = self._dataset()
        rows = published(own if own.partition("/")[0] == name else name)
        rows = rows.assign(metric=[titles([metric])[0] for metric in rows["metric"]])
        rows = rows[rows["variant"].str.contains(f" in {table}", regex=False) & rows["metric"].isin(metrics)]
        if own.partition("/")[0] != name:
            rows = rows.assign(source=[f"other data ({name})" + ("" if said == "comparable" else f", {said}") for said in rows["source"]])
        return rows.reset_index(drop=True) if len(rows) else None

    def _dataset(self) -> str:
        return next((str(results.runs[0].config["dataset"]) for results in self.findings.results.values()), "")


def judged(name: str, setup: Setup, *, papers: Sequence[str] = tuple(PAPERS)) -> Judged:
    """Trains what a paper's claims need, and judges them; a paper that is not asked for trains nothing, and none of its claims is testable.

    Args:
        name: of `PAPERS`.
        setup: size and data.
        papers: those that are asked for.

    Raises:
        ConfigError: nobody knows a paper.
    """
    for known in (name, *papers):
        if known not in PAPERS:
            raise unknown("paper", known, PAPERS)
    paper = PAPERS[name]
    found = paper.findings(setup) if name in papers else None
    reason = f"{name} is not among the papers that were asked for"
    frame = judge(name, paper.CLAIMS, found) if found else judge(name, paper.CLAIMS, None, missing=reason)
    return Judged(name, paper.TITLE, frame, found or Findings({}, {}, {}, {}))


def judge(name: str, claims: Sequence[Claim], found: Findings | None, *, missing: str = "") -> pd.DataFrame:
    """A row a claim, in the paper's order of tables and figures.

    Args:
        name: of the paper.
        claims: its claims.
        found: what was trained; None: nothing.
        missing: why nothing was trained.

    Returns:
        Columns `COLUMNS`: mean, low, high (after less before, 95 % interval of the claim by itself), side (1 or -1: the claimed sign), margin,
        verdict (of `VERDICTS`), is_found_alone (found, but not for all claims of the item at once), reason, ours (what was measured, in words).
    """
    measured: dict[int, Measured] = {}
    reasons: dict[int, str] = {}
    for place, claim in enumerate(claims):
        outcome = _measure(claim, found, missing)
        (reasons if isinstance(outcome, str) else measured)[place] = outcome
    changes = {place: one.difference() for place, one in measured.items()}
    for place in [place for place, change in changes.items() if change.n < 2 and not measured[place].is_exact]:
        reasons[place] = "one seed: there is no interval"
    held = _held(claims, measured, changes, reasons)
    rows = [_row(name, claim, measured.get(place), changes.get(place), reasons.get(place, ""), held.get(place)) for place, claim in enumerate(claims)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    notes = found.notes if found else {}
    frame["ours"] = [ours or notes.get(item, "") for item, ours in zip(frame["item"], frame["ours"], strict=True)]
    order = frame["item"].map(_place)
    return frame.assign(_order=order).sort_values("_order", kind="stable").drop(columns="_order").reset_index(drop=True)


def _place(item: str) -> tuple[bool, int]:
    """Tables first, each kind by its number."""
    kind, _, number = item.partition(" ")
    return kind != "Table", int(number)


def _measure(claim: Claim, found: Findings | None, missing: str) -> Measured | str:
    """What was measured, or in words why nothing was."""
    if claim.measure is None:
        return claim.why_not
    if found is None:
        return missing
    try:
        measured = claim.measure(found)
        measured.difference()  # two that share no seed cannot be compared
    except WorkbenchError as error:
        return error.what.splitlines()[0]
    return measured


def _held(
    claims: Sequence[Claim], measured: Mapping[int, Measured], changes: Mapping[int, Difference], reasons: Mapping[int, str]
) -> dict[int, tuple[str, bool]]:
    """The verdict of each testable claim, and whether it is found by itself only; the claims of one item are judged at once."""
    verdicts = {}
    by_item: dict[str, dict[str, Difference]] = {}
    for place, change in changes.items():
        claim = claims[place]
        if measured[place].is_exact:
            verdicts[place] = verdict(change, claim.side(measured[place]), is_held=change.mean != 0), False
        elif place not in reasons:
            by_item.setdefault(claim.item, {})[str(place)] = moved(change, claim.side(measured[place]) * claim.margin)
    for family in by_item.values():
        found = set(holm(family))
        for key, change in family.items():
            place = int(key)
            verdicts[place] = verdict(change, claims[place].side(measured[place]), is_held=key in found), change.is_found and key not in found
    return verdicts


def moved(change: Difference, by: float) -> Difference:
    """The difference to minus a margin: `by` added to mean and ends, with the p value of the moved one."""
    if not by:
        return change
    low, high = change.low + by, change.high + by
    return Difference(change.mean + by, low, high, _p(change, by), change.n)


def _p(change: Difference, by: float) -> float:
    """Two-sided p of a difference moved by a number: the interval says the standard error."""
    from scipy import stats

    if change.n < 2 or isnan(change.low):
        return float("nan")
    error = (change.high - change.low) / 2 / stats.t.ppf(0.975, change.n - 1)
    return float(2 * stats.t.sf(abs(change.mean + by) / error, change.n - 1)) if error else (0.0 if change.mean + by else 1.0)


def verdict(change: Difference, side: int, *, is_held: bool) -> str:
    """One of `VERDICTS` for a claim that was tested.

    Args:
        change: the difference (of `on par`: to minus the margin).
        side: the claimed sign, 1 or -1.
        is_held: whether it is found for all claims of its item at once (Holm); an exact difference that is not zero is.
    """
    if not is_held:
        return NO_DIFFERENCE
    return SUPPORTED if side * change.mean > 0 else OPPOSITE


def _row(
    paper: str, claim: Claim, measured: Measured | None, change: Difference | None, reason: str, held: tuple[str, bool] | None
) -> dict[str, Any]:
    """One row of the frame."""
    facts = {"paper": paper, "item": claim.item, "about": claim.about, "claim": claim.says, "margin": claim.margin}
    facts |= {"verdict": held[0] if held else UNTESTABLE, "is_found_alone": bool(held and held[1]), "reason": reason}
    if measured is None or change is None:
        nothing = dict.fromkeys(("mean", "low", "high", "p"), float("nan"))
        return facts | nothing | {"quantity": "", "after": "", "before": "", "n": 0, "side": 0, "ours": ""}
    numbers = {"mean": change.mean, "low": change.low, "high": change.high, "p": change.p, "n": change.n, "side": claim.side(measured)}
    named = {"quantity": measured.quantity, "after": measured.names[0], "before": measured.names[1]}
    return facts | numbers | named | {"ours": say_measured(measured, change)}


def say_measured(measured: Measured, change: Difference) -> str:
    """`Acc-2: AWF .812 ± .014, TFN .805 ± .011; difference +.007 (95 % -.010 to +.024, n = 5, p = .31)`."""
    pairs = measured.pairs
    both = [f"{name} {mean_and_spread(pairs[column].to_numpy())}" for name, column in zip(measured.names, ("after", "before"), strict=True)]
    said = f"{measured.quantity}: {both[0]}, {f'against {measured.names[1]}' if measured.has_constant else both[1]}"
    if measured.is_exact:
        return f"{said} (counted)"
    if change.n < 2:
        return f"{said} (n = 1)"
    span = f"95 % {score(change.low, sign=True)} to {score(change.high, sign=True)}, n = {change.n}, {p_value(change.p)}"
    return f"{said}; difference {score(change.mean, sign=True)} ({span})"


def say_verdict(row: Mapping[str, Any]) -> str:
    """The verdict in words, with the reason where a claim is not testable, and what Holm's correction took away."""
    if row["verdict"] == UNTESTABLE:
        return f"{WORDS[UNTESTABLE]}: {row['reason']}"
    if row["margin"]:
        said = {SUPPORTED: "not worse", OPPOSITE: "found worse", NO_DIFFERENCE: "too wide to say that it is not worse"}[row["verdict"]]
        return f"{WORDS[row['verdict']].partition(':')[0]}: {said} by more than {score(row['margin'])}"
    alone = " at once with the item's other claims (by itself it would be)" if row["is_found_alone"] else ""
    return f"{WORDS[row['verdict']]}{alone}"


def claim_rows(frame: pd.DataFrame) -> list[tuple[str, str, str, str]]:
    """Item, claim, ours and verdict of each claim, as `figures.fact_table` takes them."""
    return [
        (f"{row['item']}, {row['about']}" if row["about"] else row["item"], row["claim"], row["ours"] or "-", say_verdict(row))
        for row in frame.to_dict("records")
    ]


HEAD = ("item", "what the paper claims", "ours", "verdict")
"""The columns of `claim_rows`."""


def counts(found: Sequence[Judged]) -> pd.DataFrame:
    """How many claims of each paper have which verdict: paper, claims, and a column a verdict in words; a last row adds them up."""
    rows = []
    for one in found:
        tally = one.frame["verdict"].value_counts()
        rows.append({"paper": one.title, "claims": len(one.frame), **{WORDS[name]: int(tally.get(name, 0)) for name in VERDICTS}})
    frame = pd.DataFrame(rows)
    total = frame.drop(columns="paper").sum()
    return pd.concat([frame, pd.DataFrame([{"paper": "together", **total}])], ignore_index=True)


def say_counts(found: Sequence[Judged], setup: Setup) -> str:
    """Two sentences: over all papers and of each, how many claims were tested, and what came of them; which data, how many seeds."""
    all_claims = pd.concat([one.frame for one in found], ignore_index=True)
    said = "; ".join(f"{one.title}: {_tally(one.frame)}" for one in found)
    data = ", ".join(dict.fromkeys(setup.named(preset) for preset in (setup.dataset, setup.starved, setup.emotions)))
    seeds = f"{setup.seeds} {'seed' if setup.seeds == 1 else 'seeds'} each"
    return f"{len(found)} {'paper' if len(found) == 1 else 'papers'}: {_tally(all_claims)} ({data}; {seeds}). {said}."


def _tally(frame: pd.DataFrame) -> str:
    """`of 41 claims 24 tested, 9 supported, 15 without a difference found`; kinds that do not occur are left out."""
    counted = frame["verdict"].value_counts()
    tested = len(frame) - int(counted.get(UNTESTABLE, 0))
    kinds = {SUPPORTED: "supported", OPPOSITE: "with the opposite found", NO_DIFFERENCE: "without a difference found"}
    told = [f"{int(counted[name])} {word}" for name, word in kinds.items() if counted.get(name, 0)]
    return ", ".join([f"of {len(frame)} {'claim' if len(frame) == 1 else 'claims'} {tested or 'none'} tested", *told])
