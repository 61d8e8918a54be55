"""What each training of a comparison was given: epochs and optimizer steps, of all stages together and of the longest one."""

from collections.abc import Iterable

import pandas as pd

from workbench.plan import Plan, stage_plan
from workbench.runs import Run
from workbench.stages import WHOLE, Stage

COLUMNS = ("variant", "seed", "stages", "epochs", "steps", "longest")


def budgets(runs: Iterable[Run]) -> pd.DataFrame:
    """Epochs and optimizer steps of finished runs.

    Returns:
        One row a run: variant, seed, stages (1: all at once), epochs, steps, longest (steps of the longest stage: the most that one parameter had,
        where each learns in one stage).
    """
    rows = []
    for run in runs:
        plan = Plan(**run.config["plan"])
        parts = {name: facts["epochs"] for name, facts in run.metrics.get("stages", {}).items()} or {WHOLE.name: run.metrics["epochs"]}
        steps = [epochs * _steps_of_an_epoch(run, stage_plan(plan, Stage(name))) for name, epochs in parts.items()]
        rows.append((run.variant, run.seed, len(parts), sum(parts.values()), sum(steps), max(steps)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _steps_of_an_epoch(run: Run, plan: Plan) -> int:
    """Optimizer steps in which the train split is seen once."""
    batches = -(-run.config["counts"]["train"] // plan.batch_size)
    return -(-batches // plan.accumulate)


def say_budgets(runs: Iterable[Run]) -> str:
    """One sentence: the stages, epochs and optimizer steps of each variant, means over its runs."""
    said = []
    for variant, rows in budgets(runs).groupby("variant", sort=False):
        epochs, steps, longest = (f"{rows[name].mean():,.4g}" for name in ("epochs", "steps", "longest"))
        stages = int(rows["stages"].max())
        parts = f" in {stages} stages one after the other, of which the longest had {longest}" if stages > 1 else ""
        said.append(f"{variant} {epochs} epochs, {steps} optimizer steps{parts}")
    return f"Budgets: {'; '.join(said)}."
