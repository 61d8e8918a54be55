"""Who stands where over several data sets, and what a score costs: mean ranks with their critical difference, and Pareto's front."""

from itertools import pairwise

import numpy as np
import pandas as pd

from workbench.errors import DataError
from workbench.ranking import rank
from workbench.statistics import score
from workbench.tasks import LOWER_IS_BETTER


def ranks(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean ranks of the variants that every data set has; a block is a data set and a seed.

    Data sets are left out, those with the fewest variants first, until three variants or more are common to all. Seeds of one data set are not
    independent data sets: the test speaks of these data sets, not of others.

    Returns:
        A row a variant, best mean rank first: variant, rank, blocks, datasets (their names), seeds, p (Friedman, Iman-Davenport), critical (Nemenyi,
        5 %), ties (numbers of the sets of variants that are not told apart).

    Raises:
        DataError: no data set has three variants with two common seeds.
    """
    frame = frame.dropna(subset=["value"])
    counts = frame.groupby("dataset")["variant"].nunique().sort_values(ascending=False, kind="stable")
    for n in range(len(counts), 0, -1):
        kept = frame[frame["dataset"].isin(counts.index[:n])]
        common = kept.groupby("variant", sort=False)["dataset"].nunique().eq(n)
        chosen = [str(name) for name in common.index[common]]
        # Errors are turned round, so that blocks of unlike metrics can stand in one table: ranks know no units.
        turned = kept["value"].where(~kept["metric"].isin(LOWER_IS_BETTER), -kept["value"])
        table = kept.assign(value=turned).pivot(index=["dataset", "seed"], columns="variant", values="value")[chosen].dropna()
        if len(chosen) >= 3 and len(table) >= 2 and table.index.get_level_values("dataset").nunique() == n:
            found = rank(table.to_numpy(), chosen)
            ties = found.ties()
            facts = {"blocks": found.blocks, "datasets": ", ".join(dict.fromkeys(table.index.get_level_values("dataset")))}
            facts |= {"seeds": int(table.index.get_level_values("seed").nunique()), "p": found.p, "critical": found.critical}
            rows = zip(found.names, found.means, strict=True)
            return pd.DataFrame(
                [{"variant": name, "rank": mean, **facts, "ties": tuple(i for i, tie in enumerate(ties) if name in tie)} for name, mean in rows]
            )
    raise DataError("no ranks: they need three variants or more with two common seeds on one data set", do="train more, or look at the pairs")


def front(frame: pd.DataFrame, cost: str) -> list[str]:
    """The variants of one data set that no cheaper or equally cheap one has a better mean than (Pareto's front), cheapest first."""
    table = frame.groupby("variant", sort=False)[["value", cost]].mean().dropna()
    gain = -table["value"] if frame["metric"].iloc[0] in LOWER_IS_BETTER else table["value"]
    table = table.assign(gain=gain).sort_values([cost, "gain"], ascending=[True, False], kind="stable")
    best, names = -np.inf, []
    for row in table.itertuples():
        if row.gain > best:
            best = row.gain
            names.append(str(row.Index))
    return names


def say_front(frame: pd.DataFrame, cost: str, found: pd.DataFrame) -> str:
    """Which variants are on the front of score and cost, and which of those steps up are found in the pairs; the others cost more for a tie.

    Args:
        frame: the runs of one data set (see `gather`).
        cost: `parameters` or `seconds`.
        found: see `pairs`.
    """
    if frame[cost].isna().all():
        return f"{frame['dataset'].iloc[0]}: no {cost} known."
    means = frame.groupby("variant")[["value", cost]].mean()
    unit = {"parameters": "parameters", "seconds": "s an epoch"}[cost]
    names = front(frame, cost)
    written = [
        f"{name} ({score(means.loc[name, 'value'])}, {means.loc[name, cost]:,.0f} {unit})" if cost == "parameters"
        else f"{name} ({score(means.loc[name, 'value'])}, {means.loc[name, cost]:.2g} {unit})"
        for name in names
    ]  # fmt: skip
    steps = [f"{dear} over {cheap}: {_step(found, dear, cheap)}" for cheap, dear in pairwise(names)]
    said = f"{frame['dataset'].iloc[0]}, from cheap to dear: {', '.join(written)}"
    return f"{said}. Worth it? {'; '.join(steps)}." if steps else f"{said}: nothing dearer has a higher mean."


def _step(found: pd.DataFrame, dear: str, cheap: str) -> str:
    rows = found[((found["first"] == dear) & (found["second"] == cheap)) | ((found["first"] == cheap) & (found["second"] == dear))]
    if not len(rows):
        return "not compared"
    row = rows.iloc[0]
    return "found" if row["verdict"] != "=" else "a tie"
