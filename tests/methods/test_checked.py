"""Malformed values inside a setting: the path to what is wrong, and the words of the setting that it belongs to."""

from typing import get_args, get_origin

import pytest

from workbench import methods
from workbench.errors import ConfigError

NESTED = [
    (name, key) for name in methods.METHODS for key, field in methods.method(name).Config.model_fields.items() if get_origin(field.annotation) is dict
]


@pytest.mark.parametrize(
    ("edges", "where"),
    [
        ([["text"]], r"edges\.0\.1=\['text'\]"),
        ([["text", "audio"], ["text", "audio", "vision"]], r"edges\.1=\['text', 'audio', 'vision'\]"),
        ([["text", 3]], r"edges\.0\.1=3"),
        (3, r"edges=3"),
    ],
)
def test_a_value_inside_a_list_is_explained_by_its_setting(toy, edges, where):
    with pytest.raises(ConfigError, match=where + r" will not do[\s\S]*\n  expected  edges \(pairs of modality names") as caught:
        methods.build("graph.modalities", {"neighbours": "given", "edges": edges}, toy.spec)
    assert caught.value.expected.startswith("edges (")


def test_some_methods_have_settings_of_single_modalities():
    assert ("mult", "kernel_sizes") in NESTED


@pytest.mark.parametrize(("name", "key"), NESTED)
@pytest.mark.parametrize("value", [-1, 1e9, float("nan"), float("inf"), "much", None])
def test_every_number_by_modality_has_bounds(name, key, value):
    Config = methods.method(name).Config
    assert get_args(Config.model_fields[key].annotation)[0] is str
    with pytest.raises(ConfigError, match=rf"{key}\.text={value!r} will not do".replace("+", r"\+")):
        methods.checked(Config, {key: {"text": value}}, owner=name)
