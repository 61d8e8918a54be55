"""Trainings in stages on the axes of the figures: an epoch counts within its stage, and stages are not mixed.

Stages end when they no longer improve, so the same epoch of a whole training is another stage in another seed. Tables without a column `stage` (and
rows without a stage: of runs that were trained all at once) stay as they are.
"""

import pandas as pd

from workbench.figures.frames import names

GIVEN = ["stage", "stage_epoch"]
PLACE = ["variant", "seed"]


def has_stages(frame: pd.DataFrame) -> bool:
    """True where some row belongs to a stage."""
    return set(GIVEN) <= set(frame.columns) and bool(frame["stage"].notna().any())


def a_panel_a_stage(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The table with `<variant>, <stage>` for a variant (the variant itself where it has one stage only), epochs counted in it; what to say of it."""
    if not has_stages(frame):
        return frame, ""
    several = frame.groupby("variant")["stage"].transform("nunique") > 1
    named = frame["variant"].where(~several, frame["variant"] + ", " + frame["stage"].astype(str))
    return _counted(frame).assign(variant=named), "Epochs are counted from the beginning of each stage."


def last_stage(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Of each training its last stage, epochs counted in it; what to say of it."""
    if not has_stages(frame):
        return frame, ""
    ends = frame.loc[frame.groupby(PLACE, sort=False)["epoch"].idxmax(), [*PLACE, "stage"]]
    is_last = frame[[*PLACE, "stage"]].merge(ends, on=PLACE, how="left", suffixes=("", "_last")).set_index(frame.index)
    kept = frame[frame["stage"].isna() | (is_last["stage"] == is_last["stage_last"])]
    which = ", ".join(f"of {name} {', '.join(names(rows, 'stage'))}" for name, rows in kept.dropna(subset="stage").groupby("variant", sort=False))
    return _counted(kept), f"Of trainings in stages the last stage is drawn, epochs counted in it: {which}."


def own_stages(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Of each modality the (last) stage that trains it, epochs counted in it, without the zeros of frozen modalities; what to say of it.

    Args:
        frame: columns variant, seed, epoch, modality, value (0 throughout a stage: the stage does not train the modality).
    """
    if not has_stages(frame):
        return frame, ""
    one = [*PLACE, "modality"]
    largest = frame["value"].abs().groupby([frame[name] for name in (*one, "stage")]).transform("max")
    kept = frame[frame["stage"].isna() | (largest > 0)]
    ends = kept.groupby(one, sort=False)["epoch"].transform("max")
    last = kept["stage"].where(kept["epoch"] == ends).groupby([kept[name] for name in one]).transform("last")
    kept = kept[kept["stage"].isna() | (kept["stage"] == last)]
    staged = kept.dropna(subset="stage")
    if not len(staged):
        return kept, ""
    in_turn = [str(name) for name, rows in staged.groupby("variant", sort=False) if rows["stage"].nunique() > 1]
    said = f"Drawn: the stage {', '.join(names(staged, 'stage'))}."
    if in_turn:
        said = f"{' and '.join(in_turn)}: modalities are learned in turn, each is drawn in its own stage: one epoch is not one moment for all."
    return _counted(kept), f"{said} Epochs are counted from the beginning of the stage; stages in which a modality is frozen are left out."


def _counted(frame: pd.DataFrame) -> pd.DataFrame:
    """Epochs of a stage instead of epochs of the whole training, where there is a stage."""
    number = frame["epoch"].where(frame["stage"].isna(), frame["stage_epoch"])
    return frame.assign(epoch=number.astype(frame["epoch"].dtype))
