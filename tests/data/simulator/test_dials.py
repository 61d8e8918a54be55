"""Dials and presets: bounded, described, merged, and refused with near names."""

import pytest
from pydantic import ValidationError

from workbench.data.simulator.synthetic import PRESETS, Dials, opinions, preset_dials
from workbench.errors import ConfigError


def test_a_turned_dial_keeps_the_rest():
    dials = preset_dials("starved", hardness={"audio": 0.1}, noise=0.5)
    assert dials.hardness.audio == 0.1 and dials.noise == 0.5
    assert dials.hardness.vision == PRESETS["starved"].hardness.vision and dials.names == PRESETS["starved"].names
    assert preset_dials("starved", hardness=dials.hardness).hardness == dials.hardness


def test_every_dial_is_described_and_bounded():
    schema = Dials.model_json_schema()
    for name, entry in schema["properties"].items():
        assert entry["description"], name
        assert "$ref" in entry or "enum" in entry or {"minimum", "maximum"} <= set(entry), name
    assert all({"minimum", "maximum", "description"} <= set(entry) for entry in schema["$defs"]["ByModality"]["properties"].values())


def test_dials_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Dials().noise = 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: opinions("stared"), 'unknown preset "stared". Did you mean starved'),
        (lambda: opinions(nois=0.1), 'unknown dial "nois". Did you mean noise'),
        (lambda: opinions(hardness={"vidio": 0.1}), 'unknown modality "vidio". Did you mean'),
        (lambda: opinions(hardness=0.1), r"dial hardness cannot be 0.1[\s\S]*one number a modality"),
        (lambda: opinions(noise=1.5), r"dial noise cannot be 1.5[\s\S]*less than or equal to 1"),
        (lambda: opinions(noise=float("nan")), "dial noise cannot be nan"),
        (lambda: opinions(missing={"audio": -1}), "dial missing, audio cannot be -1"),
        (lambda: opinions(samples=0), "dial train cannot be 0"),
        (lambda: opinions(missing_kind="half"), "dial missing_kind cannot be 'half'"),
        (lambda: opinions(seed=-1), "a seed cannot be negative, got -1"),
    ],
)
def test_errors_say_what_and_what_was_expected(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
