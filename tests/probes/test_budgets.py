"""Epochs and optimizer steps of trainings, counted by hand."""

from types import SimpleNamespace

from workbench.probes.budgets import budgets, say_budgets


def run(variant="staged", seed=0, *, epochs=9, stages=None, **plan):
    """A finished run with 100 training samples."""
    metrics = {"epochs": epochs} | ({"stages": {name: {"epochs": number} for name, number in stages.items()}} if stages else {})
    config = {"plan": {"batch_size": 32, "seed": seed, **plan}, "counts": {"train": 100}}
    return SimpleNamespace(variant=variant, seed=seed, config=config, metrics=metrics)


def test_steps_are_those_of_each_stage_s_own_plan():
    own = {"unimodal": {"batch_size": 50}, "fusion": {"batch_size": 10, "accumulate": 4}}
    staged = run(stages={"unimodal.text": 3, "correlation": 2, "fusion": 4})
    staged.config["plan"]["stages"] = own
    found = budgets([staged, run("whole", epochs=9), run("summed", accumulate=2)])
    # 3 x 2 batches of 50, 2 x 4 of 32, 4 x 3 steps of four batches of 10.
    assert found.to_numpy().tolist() == [["staged", 0, 3, 9, 6 + 8 + 12, 12], ["whole", 0, 1, 9, 36, 36], ["summed", 0, 1, 9, 18, 18]]


def test_the_sentence_names_the_stages():
    runs = [run(stages={"a": 3, "b": 2}), run(seed=1, stages={"a": 3, "b": 3}), run("whole", epochs=2)]
    assert say_budgets(runs) == (
        "Budgets: staged 5.5 epochs, 22 optimizer steps in 2 stages one after the other, of which the longest had 12; "
        "whole 2 epochs, 8 optimizer steps."
    )
