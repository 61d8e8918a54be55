"""What is shown while a sweep runs: one line that rewrites itself, or one line a finished trial where nobody can see it rewrite."""

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, TextIO

from workbench.statistics import mean_and_spread
from workbench.sweeps.settings import Setting, say
from workbench.sweeps.trials import Outcome

if TYPE_CHECKING:
    from workbench.sweeps.desk import Desk

TICK_SECONDS = 0.5


def clock(seconds: float) -> str:
    """`0:21`, `12:05`, `1:02:05`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class Progress:
    """Trials done, the best so far, time passed and left.

    Args:
        total: trials of the sweep.
        done: trials that were finished before.
        best: setting and scores of the best one before, if any.
        metric, is_lower_better: the score on valid.
    """

    def __init__(
        self, total: int, done: int, *, metric: str, is_lower_better: bool, best: tuple[Setting, list[float]] | None = None, is_shown: bool = True,
        stream: TextIO | None = None,
    ) -> None:  # fmt: skip
        self.total, self.done, self.before, self.metric, self.is_lower_better, self.best = total, done, done, metric, is_lower_better, best
        self.is_shown, self.stream = is_shown, stream or sys.stderr
        is_terminal = hasattr(self.stream, "isatty") and self.stream.isatty()
        self.is_live = is_terminal and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"
        self.started = self.painted = time.monotonic()
        self.width = 0

    def ended(self, number: int, setting: Setting, outcome: Outcome) -> None:
        """A trial has ended."""
        if outcome.state == "stopped":
            return
        self.done += 1
        values = outcome.values(self.metric) if outcome.state == "complete" else []
        if values and (self.best is None or self._is_better(values, self.best[1])):
            self.best = (setting, values)
        if not self.is_live:
            reason = outcome.error.partition("\n")[0]
            what = f"{self.metric} {mean_and_spread(values)}" if values else f"{outcome.state}  {reason}".strip()
            self._write(f"trial {number}  {say(setting)}  {what}  ({self.words()})\n")
        self._paint()

    def tick(self, desk: "Desk") -> None:
        """Time passes."""
        if time.monotonic() - self.painted <= TICK_SECONDS:
            return
        if desk.store.is_shared:
            self.done, self.best = desk.standing(metric=self.metric, is_lower_better=self.is_lower_better)
        self._paint()

    def words(self) -> str:
        """`37 of 200 · best acc2_non0 .812 ± .014 at hidden_size=64 · 1:33 passed · about 5:10 left`."""
        passed, here = time.monotonic() - self.started, self.done - self.before
        parts = [f"{self.done} of {self.total}"]
        if self.best:
            parts.append(f"best {self.metric} {mean_and_spread(self.best[1])} at {say(self.best[0])}")
        parts.append(f"{clock(passed)} passed")
        if here and self.done < self.total:
            parts.append(f"about {clock(passed / here * (self.total - self.done))} left")
        return " · ".join(parts)

    def kept(self) -> str:
        """What is there where the sweep ends early."""
        return f"{self.done} of {self.total} trials kept; the same command goes on."

    def close(self) -> None:
        """Ends the line."""
        if self.is_live:
            self._paint()
            self._write("\n")

    def _is_better(self, values: list[float], than: list[float]) -> bool:
        new, old = sum(values) / len(values), sum(than) / len(than)
        return new < old if self.is_lower_better else new > old

    def _paint(self) -> None:
        self.painted = time.monotonic()
        if self.is_live:
            # Cut, because a line that wraps cannot be rewritten.
            line = self.words()[: shutil.get_terminal_size().columns - 1]
            self._write(f"\r{line.ljust(self.width)}")
            self.width = len(line)

    def _write(self, text: str) -> None:
        if self.is_shown:
            self.stream.write(text)
            self.stream.flush()
