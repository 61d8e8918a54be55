"""How much attention does each word and each frame of one sample get? All maps of a model that look at a modality, as one number a step.

seen = record_views(run, data, rows=[17])
received(views(seen), seen)          # {"text": one number a word, "audio": one a frame}; 1 is an even share
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from workbench.probes.planted import auc
from workbench.probes.views import ADDED, last_layers


def received(found: Iterable[Mapping[str, Any]], seen: xr.Dataset, *, tap: str = "") -> dict[str, np.ndarray]:
    """Attention that each step receives, in even shares: 1 where every step would get as much.

    Means over the heads, over the steps that look, and over the maps (of several layers the last one's) that look at the modality.

    Args:
        found: views of one sample (see `workbench.probes.views.views`); those that are no attention are passed over.
        seen: what they were made of.
        tap: the one map that is asked; empty: all.
    """
    maps = [view for view in last_layers(dict(view) for view in found if view["kind"] == "attention") if not tap or view["tap"] == tap]
    parts: dict[str, list[np.ndarray]] = {}
    for view in maps:
        values = np.nan_to_num(np.asarray(view["values"], float))
        table = values.mean(0) if values.ndim == 3 else values
        looking = table[table.sum(1) > 0]
        if len(looking):
            for name, share in _by_modality(looking.mean(0), view, seen).items():
                parts.setdefault(name, []).append(share)
    return {name: np.mean([part for part in shares if len(part) == len(shares[0])], axis=0) for name, shares in parts.items()}


def _by_modality(share: np.ndarray, view: Mapping[str, Any], seen: xr.Dataset) -> dict[str, np.ndarray]:
    """The shares of one map's keys; where all modalities' steps stand side by side, each modality's."""
    even = share * len(share)
    key = view["steps"][str(view["values"].dims[-1])]
    if key["modality"]:
        return {key["modality"]: even}
    words = key["words"] or []
    parts = {name: [i for i, word in enumerate(words) if word != ADDED and word.startswith(f"{name}: ")] for name in seen.attrs["modalities"]}
    return {name: even[places] for name, places in parts.items() if places}


def planted_steps(evidence: Mapping[str, np.ndarray], row: int, modality: str, count: int) -> np.ndarray | None:
    """Which steps of a sample carry planted evidence (`opinions`); None where that is not known, or nothing is shown."""
    marked = np.zeros(count, bool)
    for name, values in evidence.items():
        if not name.startswith(f"{modality}_"):
            continue
        if name.endswith("_position") and values[row] >= 0:
            marked[int(values[row]) : int(values[row]) + 1] = True
        if name.endswith("_window") and values[row][0] >= 0:
            marked[int(values[row][0]) : int(values[row][1])] = True
    return marked if marked.any() else None


def agreement(strength: Sequence[float], planted: np.ndarray) -> float:
    """How well numbers point at the planted steps: that a planted step has more than another (AUC; .5 is chance); nan without both kinds."""
    return float(auc(np.asarray(strength, float)[None], planted)[0])
