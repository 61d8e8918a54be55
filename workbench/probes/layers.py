"""Views of one part in several layers, side by side."""

import re
from collections.abc import Iterable
from typing import Any

from workbench.data.batch import Dataset


def by_layer(found: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Views (see `workbench.probes.views.views`) that differ only in the layer they are of, together and in the layers' order.

    Returns:
        Groups in the order of their first view; a view without a layer stands alone. Each view gets `layer`, its number from 1 (0: it has none).
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for view in found:
        place = re.search(r"(?:^|\.)layers\.(\d+)(?=\.|$)", view["tap"])
        key = view["tap"] if place is None else f"{view['tap'][: place.start(1)]}*{view['tap'][place.end(1) :]}"
        groups.setdefault(key, []).append(view | {"layer": int(place.group(1)) + 1 if place else 0})
    return [sorted(group, key=lambda view: view["layer"]) for group in groups.values()]


def with_shared_words(found: Iterable[dict[str, Any]], data: Dataset) -> list[dict[str, Any]]:
    """Views of aligned data in which the steps of every modality carry the words that they were aligned to, as far as a view knows these words.

    Args:
        found: see `workbench.probes.views.views`.
        data: the data; one that is not aligned changes nothing.
    """
    reference = data.notes.get("view", {}).get("align_to")
    told = []
    for view in found:
        words = next((known["words"] for known in view.get("steps", {}).values() if known["modality"] == reference and known["words"]), None)
        steps = {
            axis: known | {"words": words} if known["words"] is None and words and len(words) == view["values"].sizes[axis] else known
            for axis, known in view.get("steps", {}).items()
        }
        told.append(view | {"steps": steps} if steps else view)
    return told
