"""What every figure asks of its table: the columns are there, and values are paired by seed."""

import numpy as np
import pandas as pd

from workbench.errors import DataError
from workbench.statistics import Difference, paired_difference


def checked(frame: pd.DataFrame, figure: str, *columns: str) -> pd.DataFrame:
    """The rows of the table that have a value, after a look at its columns.

    Raises:
        DataError: a column is missing, or no row has a value.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise DataError(
            f"{figure} needs the column {', '.join(missing)}",
            where=f"table with the columns {', '.join(map(str, frame.columns))}",
            expected=", ".join(columns),
        )
    if "value" in columns:
        frame = frame[np.isfinite(pd.to_numeric(frame["value"]))]
    if not len(frame):
        raise DataError(f"{figure} got a table without a single value", expected="at least one row with a number in `value`")
    return frame


def names(frame: pd.DataFrame, column: str) -> list[str]:
    """The names in a column, in the order in which they first stand there."""
    return [str(name) for name in dict.fromkeys(frame[column])]


def by_seed(frame: pd.DataFrame) -> pd.Series:
    """One value per seed."""
    return frame.groupby("seed")["value"].mean()


def difference(after: pd.DataFrame, before: pd.DataFrame) -> Difference | None:
    """The paired difference over the seeds that both tables have; None where they share none."""
    pairs = pd.concat([by_seed(after), by_seed(before)], axis=1, join="inner", keys=["after", "before"])
    return paired_difference(pairs["after"].to_numpy(), pairs["before"].to_numpy()) if len(pairs) else None


def only_metric(frame: pd.DataFrame, metric: str | None, figure: str) -> tuple[pd.DataFrame, str]:
    """The rows of one metric, and its name; without a `metric` column the table is taken to hold one.

    Raises:
        DataError: the metric is not in the table, or several are and none was named.
    """
    known = names(frame, "metric") if "metric" in frame.columns else []
    if metric is None and len(known) > 1:
        raise DataError(f"{figure}: the table holds {len(known)} metrics and none was named", expected=f"metric= one of {', '.join(known)}")
    if metric is not None and known and metric not in known:
        raise DataError(f'{figure}: no metric "{metric}" in the table', expected=f"one of {', '.join(known)}")
    chosen = metric or (known[0] if known else "score")
    return (frame[frame["metric"] == chosen] if known else frame), chosen
