"""The shared ground of everything live: frames, the thread that paints, controls from schemas, and the end of what lives in a notebook."""

import gc
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
import pytest
from pydantic import BaseModel, Field

from workbench.widgets.controls import Control, bounds, controls_for, read, shown
from workbench.widgets.keys import Keys
from workbench.widgets.live import FRAME_SECONDS, LiveFigure, Painter, alone, close_all, numbers, thinned


def until(is_so: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.005)


# Frames


def test_numbers_travel_as_float32():
    assert numbers([1, 2.5]).dtype == np.float32
    assert numbers(np.arange(3)).dtype == np.float32
    assert numbers(["a"]) == ["a"]
    assert numbers([None]) == [None]
    assert numbers([]) == []


def test_a_thinned_line_keeps_its_ends_and_its_spikes():
    x = np.arange(12_400)
    y = np.sin(x / 50)
    y[7_001], y[9_003] = 40.0, -40.0
    thin_x, thin_y = thinned(x, y)
    assert len(thin_x) <= 500
    assert (thin_y.max(), thin_y.min()) == (40.0, -40.0)
    assert (thin_x[0], thin_x[-1]) == (0, 12_399)
    assert (np.diff(thin_x) > 0).all()


def test_a_short_line_is_drawn_whole():
    x, y = thinned([1, 2, 3], [3, 1, 2])
    assert x.tolist() == [1, 2, 3]
    assert y.tolist() == [3, 1, 2]


def test_one_frame_is_few_messages(monkeypatch):
    figure = LiveFigure(go.Figure([go.Scatter(name=name, x=[None], y=[None]) for name in "abcdef"]))
    sent: list[Any] = []
    monkeypatch.setattr(type(figure), "_send_restyle_msg", lambda self, *args, **more: sent.append(args), raising=True)
    figure.paint({name: {"x": np.arange(500), "y": np.arange(500)} for name in "abcdef"}, title="six lines")
    assert len(figure.data[3].y) == 500
    assert figure.layout.meta["alt"] == "six lines"
    assert len(sent) <= 6


def test_painting_an_unknown_trace_is_a_mistake():
    figure = LiveFigure(go.Figure([go.Scatter(name="a")]))
    with pytest.raises(KeyError, match="b"):
        figure.paint({"b": {"y": [1]}})


# The painter


def test_events_come_out_in_order_and_never_too_often():
    frames: list[tuple[float, list[int]]] = []
    painter, begun = Painter(lambda events: frames.append((time.monotonic(), events))), time.monotonic()
    for number in range(200):
        painter.put(number)
        time.sleep(0.005)
    assert painter.settle()
    drawn = [event for _, events in frames for event in events]
    assert drawn == list(range(200))
    news = [moment for moment, events in frames if events]
    assert len(news) <= (time.monotonic() - begun) / FRAME_SECONDS + 2, "a second of events is five frames or so"
    assert np.diff(news).min() >= FRAME_SECONDS * 0.9
    painter.close()
    until(lambda: not painter.is_alive)


def test_the_last_frame_is_painted_once_more():
    frames: list[list[int]] = []
    painter = Painter(lambda events: frames.append(list(events)))
    painter.put(1)
    until(lambda: len(frames) == 2)
    assert frames == [[1], []]
    time.sleep(0.7)
    assert len(frames) == 2, "and then it sleeps"
    painter.close()


def test_a_slow_frame_is_followed_by_a_longer_wait():
    moments: list[float] = []

    def draw(events: list[int]) -> None:
        moments.append(time.monotonic())
        time.sleep(0.06)

    painter = Painter(draw)
    painter.put(1)
    until(lambda: moments)
    painter.put(2)
    until(lambda: len(moments) >= 2)
    assert moments[1] - moments[0] >= 0.6, "ten times what it took"
    painter.close()


def test_what_drawing_raises_is_kept_and_the_painter_goes_on():
    seen: list[int] = []

    def draw(events: list[int]) -> None:
        if 1 in events:
            raise ValueError("no")
        seen.extend(events)

    painter = Painter(draw)
    painter.put(1)
    painter.settle()
    painter.put(2)
    until(lambda: seen == [2])
    assert isinstance(painter.error, ValueError)
    painter.close()


# One of a kind


class Living:
    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def test_the_second_of_a_place_ends_the_first_and_the_kernel_s_end_ends_all():
    first, second, other = Living(), Living(), Living()
    alone("a", first)
    alone("b", other)
    alone("a", second)
    assert (first.is_closed, second.is_closed, other.is_closed) == (True, False, False)
    close_all()
    assert second.is_closed
    assert other.is_closed


def test_what_nobody_holds_any_more_is_no_hindrance():
    alone("a", Living())
    gc.collect()
    kept = Living()
    alone("a", kept)
    assert not kept.is_closed
    close_all()


# Controls


class Example(BaseModel):
    rate: float = Field(0.01, gt=0, le=100, description="how fast")
    share: float = Field(0.5, ge=0, le=1, description="how much")
    layers: int = Field(2, ge=1, le=16, description="how deep")
    width: int = Field(64, ge=1, le=8192, description="how wide")
    kind: Literal["a", "b"] = Field("a", description="which")
    is_on: bool = Field(True, description="whether")
    floor: float | None = Field(0.1, gt=0, le=1, description="how low")
    parts: dict[str, float] = Field({}, description="by part")


@pytest.fixture
def made() -> tuple[dict[str, Control], list[str]]:
    moved: list[str] = []
    return controls_for(Example, {"rate": 0.002}, group="g", live=("rate",), changed=lambda control: moved.append(control.name)), moved


def test_each_type_has_its_control_with_the_schema_s_bounds(made):
    controls, _ = made
    kinds = {name: type(control.widget).__name__ for name, control in controls.items()}
    assert kinds == {
        "g.rate": "FloatLogSlider",
        "g.share": "FloatSlider",
        "g.layers": "IntSlider",
        "g.width": "BoundedIntText",
        "g.kind": "Dropdown",
        "g.is_on": "Checkbox",
        "g.floor": "Text",
        "g.parts": "Text",
    }
    share, layers, rate = (controls[f"g.{name}"].widget for name in ("share", "layers", "rate"))
    assert (share.min, share.max, layers.min, layers.max, rate.max) == (0, 1, 1, 16, 2)
    assert "how fast (live)" in rate.tooltip
    assert "takes effect with the next start" in layers.tooltip


def test_values_are_those_that_hold_and_a_changed_one_shows_its_default(made):
    controls, moved = made
    assert controls["g.rate"].value == 0.002
    assert not any(control.is_changed for control in controls.values())
    controls["g.rate"].widget.value = 0.1
    assert controls["g.rate"].is_changed
    assert "default 0.002" in controls["g.rate"].note.value
    controls["g.rate"].widget.value = 0.002
    assert "default" not in controls["g.rate"].note.value
    assert "live" in controls["g.rate"].note.value
    assert controls["g.layers"].note.value == ""
    assert moved == ["g.rate", "g.rate"]


def test_text_fields_read_yaml_and_none(made):
    controls, _ = made
    controls["g.floor"].widget.value = "none"
    controls["g.parts"].widget.value = "{encoders.audio: 5e-3}"
    assert controls["g.floor"].value is None
    assert Example(parts=controls["g.parts"].value).parts == {"encoders.audio": 0.005}


@pytest.mark.parametrize(("value", "text"), [(None, "none"), (0.001, "0.001"), ({}, "{}"), ({"a": 1}, "{a: 1}"), ("b", "b")])
def test_what_is_shown_reads_back(value, text):
    assert shown(value) == text
    assert read(text) == value


def test_bounds_are_read_from_the_schema():
    assert bounds(Example.model_fields["rate"]) == (0, 100, True)
    assert bounds(Example.model_fields["parts"]) == (None, None, False)


# Keys


def test_keys_call_what_they_stand_for():
    pressed: list[str] = []
    keys = Keys("wb-box", {"k": lambda: pressed.append("k")})
    keys._hear(keys, {"key": "k"}, [])
    keys._hear(keys, {"key": "x"}, [])
    assert pressed == ["k"]
    assert keys.heard == ["k"]
