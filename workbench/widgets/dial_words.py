"""What the imbalance dial says: its questions, the line of code of a state, names for screen readers, errors in words."""

import json
import traceback
from collections.abc import Mapping
from html import escape
from typing import Any

from workbench.errors import WorkbenchError
from workbench.outcomes import Setting

QUESTIONS = {
    "starved": ("Who starves?", "Voice and face know about as much as the words, on a scale that is 79 times smaller"),
    "redundant": ("What if they say the same?", "Nearly all of the score lies in a cue that every modality shows"),
    "synergy": ("Only together?", "Half of the sentences mean the opposite of their words, and only the voice tells which"),
    "noisy": ("What does noise leave?", "Four of ten cues are drawn anew at random, and every speaker looks and sounds a little different"),
    "balanced": ("And when all is balanced?", "Every modality shows the same share of its cues, and none is hard to learn"),
}
"""By preset the question it asks, and what it is."""

HELP = (
    "Tab goes from control to control; arrows and PageUp / PageDown turn a dial, Esc leaves it. R reveals, T trains again, C shows the code, "
    "? opens and closes this. Ceilings are exact: the best that anyone could do with what a modality shows."
)


def code_of(setting: Setting, seeds: int, shown: int, guess: float | None) -> str:
    """The lines that open a state again, and that give the same picture without controls.

    Args:
        setting: the dials.
        seeds: how many the control says.
        shown: how many the picture shows.
        guess: None where nobody guessed.
    """
    live = {"seeds": seeds} if seeds != 1 else {}
    still = ({"seeds": shown} if shown != 1 else {}) | ({"guess": guess} if guess is not None else {}) | {"interactive": False}
    lines = ["from workbench.widgets import dial", "", call(setting, live), "", "# the same picture, without controls", call(setting, still)]
    return "\n".join(lines)


def call(setting: Setting, more: Mapping[str, Any]) -> str:
    """`dial("starved", hardness={"audio": 0.8})`."""
    named = {**setting.changes, **more}
    words = [json.dumps(setting.preset), *(f"{name}={literal(value)}" for name, value in named.items())]
    return f"dial({', '.join(words)})"


def literal(value: Any) -> str:
    """A value as Python writes it, with double quotes."""
    return repr(value) if isinstance(value, bool) else json.dumps(value, default=lambda model: model.model_dump())


def css_class(name: str) -> str:
    """The CSS class of a dial's slider."""
    return f"wb-dial-{name.replace('.', '-')}"


def spoken(name: str) -> str:
    """`informativeness of text`."""
    dial_name, _, modality = name.partition(".")
    return f"{dial_name} of {modality}" if modality else dial_name


def turned_words(setting: Setting) -> str:
    """`hardness of audio 0.8, redundancy 0.5`."""
    words = []
    for name, found in setting.changes.items():
        pairs = found.items() if isinstance(found, Mapping) else [("", found)]
        words += [f"{spoken(f'{name}.{modality}' if modality else name)} {value}" for modality, value in pairs]
    return ", ".join(words)


def said(error: Exception) -> str:
    """An error in words, its details folded, every character escaped."""
    words = str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
    details = "".join(traceback.format_exception(error))
    return f"<p><b>This failed; the dial goes on.</b><br>{escape(words)}</p><details><summary>Details</summary><pre>{escape(details)}</pre></details>"
