"""What there is, as plain rows."""

import json

import numpy as np
import pytest

from workbench.data import load
from workbench.data.card import cards
from workbench.errors import ConfigError
from workbench.listing import card_facts, data_lines, listing, methods_table, paper
from workbench.methods import FAMILIES, METHODS, build, method


@pytest.mark.parametrize("what", ["methods", "datasets", "balancers", "encoders"])
def test_every_list_has_a_line_for_each_name(what):
    rows = listing(what)
    assert rows
    assert all(name and text and "\n" not in text for name, text in rows.items())


def test_lists_hold_what_there_is():
    assert list(listing("methods")) == list(METHODS)
    assert list(listing("datasets")) == cards()
    assert set(listing("balancers")) == {"b_fusion", "uniform", "ogm_ge", "gradient_blending", "adaptive_tracking", "grad_norm"}
    assert all("Source: " in line for line in listing("balancers").values())
    vectors, steps = (
        {"MeanMLP", "LSTMEncoder", "TextTransformer"},
        {"StepFeatures", "LSTMSteps", "TokenTransformer", "StepTransformer", "ConvLSTMSteps"},
    )
    assert set(listing("encoders")) == vectors | steps | {"PatchTransformer", "PretrainedImage"}


def test_methods_with_family_paper_needs_and_parameters():
    table = methods_table("opinions/balanced").set_index("method")
    assert list(table.index) == list(METHODS)
    assert set(table["family"]) == set(FAMILIES)
    assert table.loc["tfn", "paper"].startswith("Zadeh")
    assert table["paper"].str.len().min() > 20
    data = load("opinions/balanced")
    for name in ("lf_dnn", "mult", "graph.fused"):
        assert table.loc[name, "parameters"] == sum(p.numel() for p in build(name, {}, data.spec).parameters())
    assert "parameters" not in methods_table()


@pytest.mark.parametrize("name", METHODS)
def test_a_paper_is_one_sentence_without_its_equations(name):
    text = paper(method(name).reference)
    assert 20 < len(text) <= 250
    assert text.endswith(".") and text[-2] not in " .,:;"
    assert not any(mark in text for mark in (" <- ", "ReLU(", "Decides:", "Differs:", "\n", "  "))


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Idea.\n\nSource: Ann, Bob: A title.\nACL 2020.\n\n    x = y\n", "Ann, Bob: A title. ACL 2020."),
        ("Idea.\n\n    Source: Ann: A title\n    (ACL 2020), Eq. (1):\n        x = y\n    where x is y", "Ann: A title (ACL 2020), Eq. (1)."),
        ("Idea.\n\nSource: Ann: A title. 2020.\nDecides: all.\n", "Ann: A title. 2020."),
        ("Idea.\n\n    Source: Ann: A title. 2020.\n    Differs: in all.\n", "Ann: A title. 2020."),
        ("Idea.", ""),
    ],
)
def test_what_belongs_to_a_paper(reference, expected):
    assert paper(reference) == expected


def test_a_method_that_cannot_be_built_on_a_data_set_says_why(monkeypatch):
    monkeypatch.setattr("workbench.data.load", lambda name: load("opinions/balanced").select("audio"))
    table = methods_table("opinions/balanced").set_index("method")
    assert table.loc["lf_dnn", "parameters"] > 0
    assert np.isnan(table.loc["mult", "parameters"])
    assert "two modalities" in table.loc["mult", "note"]


def test_a_data_set_that_is_not_here_says_how_to_fetch_it(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path))
    rows = listing("datasets")
    assert rows["mosi"].endswith("(not here: workbench data fetch mosi)")
    assert "not here" not in rows["opinions"]


def test_notebooks_and_reports(tmp_path, monkeypatch):
    cells = [{"cell_type": "markdown", "source": ["# Who starves?\n", "Five minutes."]}]
    (tmp_path / "01_imbalance.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "01_imbalance.ipynb").rename(tmp_path / "notebooks" / "01_imbalance.ipynb")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "first.yaml").write_text("title: First\npages: [01_imbalance, 02_other, 02_other]")
    monkeypatch.setenv("WORKBENCH_NOTEBOOKS", str(tmp_path / "notebooks"))
    assert listing("notebooks") == {"01_imbalance": "Who starves?"}
    assert listing("reports") == {"first": "First: 01_imbalance, 02_other"}


def test_an_unknown_list_names_the_near():
    with pytest.raises(ConfigError, match=r'unknown list "method"\. Did you mean methods'):
        listing("method")


def test_facts_of_a_card_are_plain():
    facts = card_facts("opinions")
    assert list(facts)[:3] == ["name", "title", "is_here"]
    assert facts["is_here"] is True
    assert json.loads(json.dumps(facts)) == facts
    assert set(facts["modalities"]) == {"text", "audio", "vision"}


def test_facts_of_an_unknown_card():
    with pytest.raises(ConfigError, match=r'unknown data set "opinion"\. Did you mean opinions'):
        card_facts("opinion")


def test_a_report_says_what_data_is_there():
    lines = data_lines()
    assert "opinions made on the spot" in lines
    assert any(line.startswith("mosi is not here") and "workbench data fetch mosi  (" in line for line in lines)
