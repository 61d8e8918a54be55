"""Figures that are repainted while something runs, the one thread that paints them, and the end of everything that lives in a notebook.

FigureWidget cannot append: a frame replaces whole arrays, so a lost frame is healed by the next. One lock is held around every paint and every
message from the browser, because a FigureWidget's own flags are plain attributes.
"""

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.basedatatypes import Undefined

PAINT = threading.RLock()
"""Held around every paint, and around every message from the browser."""

FRAME_SECONDS = 0.25
"""Least time between two frames; painting never takes more than a tenth of the time."""

LONGEST_SECONDS = 2.0
"""The longest wait between two frames, however long one took."""

MOST_POINTS = 500
"""Points of a line that are sent; beyond that the smallest and the largest of each bucket, so that spikes survive."""


class LiveFigure(go.FigureWidget):
    """A FigureWidget that is painted from a thread.

    All traces are made at the start (a trace that is added later is drawn unreliably); `paint` gives some of them other values.
    """

    def _handle_msg(self, message: Any) -> None:
        with PAINT:
            super()._handle_msg(message)

    def _build_update_params_from_batch(self) -> tuple[dict[str, list[Any]], dict[str, Any], list[int]]:
        """What a frame sends. Of a property that only some of its traces change, the others' values go along: plotly sends them as undefined, and its
        model in the browser then loses them (7.1), so that a view that is made later lacks them.
        """
        style, layout, indexes = super()._build_update_params_from_batch()
        for name, values in style.items():
            for place, (index, value) in enumerate(zip(indexes, values, strict=True)):
                if value is Undefined:
                    with suppress(ValueError, KeyError):
                        known = self.data[index][name]
                        # A group of properties (`marker`) goes along as plain values: the object itself belongs to this figure.
                        values[place] = known.to_plotly_json() if hasattr(known, "to_plotly_json") else known
        return style, layout, indexes

    def paint(self, traces: Mapping[str, Mapping[str, Any]], *, title: str | None = None, layout: Mapping[str, Any] | None = None) -> None:
        """One frame.

        Args:
            traces: name of a trace -> its properties (`x`, `y`, `text`, `visible`, ...); lists of numbers become float32.
            title: text for screen readers (`alt`); see `workbench.widgets.keys`.
            layout: properties of the layout; never axis ranges while something runs.
        """
        known = {trace.name: trace for trace in self.data}
        with PAINT, self.batch_update():
            for name, properties in traces.items():
                known[name].update({key: numbers(value) for key, value in properties.items()}, overwrite=False)
            if layout or title is not None:
                self.update_layout({**(layout or {}), **({"meta": {"alt": title, "caption": title}} if title is not None else {})})


def numbers(value: Any) -> Any:
    """Lists of numbers as one-dimensional float32, which travel as bytes (lists and int64 travel as text); everything else as it is."""
    if isinstance(value, (list, tuple, np.ndarray)) and len(value) and all(isinstance(one, (int, float, np.number)) for one in value):
        return np.asarray(value, dtype=np.float32)
    return value


def thinned(x: Sequence[float], y: Sequence[float], most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most about `most` points of a line: the smallest and the largest of each bucket, in order."""
    x, y = np.asarray(x, dtype=np.float32), np.asarray(y, dtype=np.float32)
    if len(y) <= most:
        return x, y
    kept = [0, len(y) - 1]
    for part in np.array_split(np.arange(len(y)), most // 2 - 1):
        kept += [part[np.argmin(y[part])], part[np.argmax(y[part])]]
    places = np.unique(kept)
    return x[places], y[places]


class Painter:
    """The thread that draws: events go in from any thread, frames come out at most four times a second (or as `seconds` says).

    Args:
        draw: `(events) -> None`, called on the painter's thread with all events since the last frame, in order; an empty list asks for the last frame
            once more. Whatever it raises is kept in `error` and the painter goes on.
        seconds: least time between two frames.
        share: the most of the time that painting may take.
    """

    def __init__(self, draw: Callable[[list[Any]], None], *, seconds: float = FRAME_SECONDS, share: float = 0.1) -> None:
        self.draw, self.between, self.share = draw, seconds, share
        self.error: Exception | None = None
        self.frames, self.seconds = 0, 0.0
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="workbench-painter", daemon=True)
        self._thread.start()

    def put(self, event: Any) -> None:
        """Hands an event over; never waits."""
        self._idle.clear()
        self._events.put(event)

    def settle(self, seconds: float = 10.0) -> bool:
        """Waits until everything that was put has been drawn (not for callbacks)."""
        return self._idle.wait(seconds)

    def close(self) -> None:
        """Ends the thread after its frame."""
        self._events.put(_END)

    @property
    def is_alive(self) -> bool:
        """False once it has ended."""
        return self._thread.is_alive()

    def _run(self) -> None:
        is_healed = True
        while True:
            events = self._gather(None if is_healed else 0.5)
            if _END in events:
                self._idle.set()
                return
            begun = time.monotonic()
            try:
                self.draw(events)
            except Exception as error:
                self.error = error
            took = time.monotonic() - begun
            self.frames, self.seconds = self.frames + 1, self.seconds + took
            # A frame of no news is the one that heals what the browser may have lost.
            is_healed = not events
            if self._events.empty():
                self._idle.set()
            time.sleep(min(LONGEST_SECONDS, max(self.between, took / self.share)) if events else 0)

    def _gather(self, seconds: float | None) -> list[Any]:
        """All events there are; waits for the first, at most so long."""
        try:
            events = [self._events.get(timeout=seconds)]
        except queue.Empty:
            return []
        while True:
            try:
                events.append(self._events.get_nowait())
            except queue.Empty:
                return events


_END = object()

_LIVING: dict[str, "weakref.ref[Any]"] = {}
"""What lives in this kernel, by the place it was opened in."""


def alone(place: str, living: Any) -> None:
    """A second one of the same place ends the first: run a cell again, and no thread of the earlier run is left.

    Args:
        place: what it is and where, e.g. `studio`.
        living: has `close()`.
    """
    before = _LIVING.pop(place, None)
    if before is not None and (earlier := before()) is not None:
        earlier.close()
    _LIVING[place] = weakref.ref(living)


@atexit.register
def close_all() -> None:
    """Ends everything that lives in this kernel."""
    for place in list(_LIVING):
        living = _LIVING.pop(place)()
        if living is not None:
            with suppress(Exception):
                living.close()
