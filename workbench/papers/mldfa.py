"""MLDFA: the claims of its one table and five figures.

Source: Yue: Multimodal learning data fusion and analysis based on self-attention mechanism (MLDFA). No year is printed.

Decides: the paper's sweeps (Figs. 3 to 5) are on MM-IMDb; here they run on the data at hand, and are judged on valid, where settings are chosen.
"""

from typing import Any

from workbench import evidence
from workbench.papers.claim import Claim, Findings, drawing
from workbench.papers.measures import compares
from workbench.papers.setup import Setup, Trainings
from workbench.taxonomy import trained

DRAWN = "05_mldfa"
"""The notebook that draws the model."""

TITLE = "MLDFA"

PRINTED = ("mosi", "MLDFA Table I")
"""The card with the paper's rows, and how their source begins."""

SHOWN = (("rivals",), ("mae", "corr", "accuracy", "f1_weighted", "f1_micro"))
"""Comparisons and metrics of the table of scores."""

RATES, BATCHES, WIDTHS = (1e-4, 5e-4, 1e-3), (16, 32, 64), (128, 256, 512, 1024)
"""What the paper sweeps over; its best are 5e-4, 32 and 512."""

BEST_RATE, BEST_BATCH, BEST_WIDTH = 5e-4, 32, 512

RIVALS = {"tfn": "TFN", "lmf": "LMF", "mult": "MulT"}


def findings(setup: Setup) -> Findings:
    """What the claims need, trained."""
    data, made = setup.draw(setup.dataset), Trainings()
    config = {"hidden_size": setup.hidden_size, "post_size": setup.hidden_size, "encoder_layers": 1}
    rivals = {"tfn": {}, "lmf": {}, "mult": {"layers": 1, "memory_layers": 1}}
    made.attempt("rivals", data, lambda: evidence.against_rivals(data, config=config, rivals=rivals, **setup.budget))
    made.add("settings", data, lambda variants: trained(data, variants, **setup.budget), swept(setup, config))
    untrained = [width for width in WIDTHS if width not in setup.hidden_range]
    made.missing |= {
        _width(width): f"width {width} was not asked for (hidden_range of Setup): too slow for a notebook without a GPU" for width in untrained
    }
    return Findings(made.results, made.data, made.missing, {})


def swept(setup: Setup, config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The method with each of the paper's rates and batch sizes around its best ones, and with the widths that are asked for."""
    rates = {_rate(rate): {"learning_rate": rate, "batch_size": BEST_BATCH} for rate in RATES}
    batches = {_batch(size): {"learning_rate": BEST_RATE, "batch_size": size} for size in BATCHES}  # the best of both is one training
    found = {name: {"method": evidence.METHOD, "config": config, "plan": plan} for name, plan in {**rates, **batches}.items()}
    plan = {"learning_rate": BEST_RATE, "batch_size": BEST_BATCH}
    return found | {_width(size): {"method": evidence.METHOD, "config": {**config, "hidden_size": size}, "plan": plan} for size in setup.hidden_range}


def _rate(rate: float) -> str:
    return f"rate {rate:g}, batch {BEST_BATCH}"


def _batch(size: int) -> str:
    return f"rate {BEST_RATE:g}, batch {size}"


def _width(size: int) -> str:
    return f"width {size}"


def _table_1() -> list[Claim]:
    printed = {"tfn": (".870", ".612"), "lmf": (".852", ".629"), "mult": (".832", ".647")}
    found = []
    for name, numbers in printed.items():
        for metric, own, number in zip(("mae", "corr"), (".810", ".672"), numbers, strict=True):
            word = {"mae": "error", "corr": "correlation"}[metric]
            says = f"The method's {word} is better than {RIVALS[name]}'s (MOSI: {own} against {number})."
            measure = compares("mldfa", name, of="rivals", metric=metric, task="regression")
            found.append(Claim("Table 1", says, about=f"MOSI, {RIVALS[name]}, {word}", measure=measure))
    others = {"MELD": ("multiclass", "f1_weighted", "68.2", "66.8"), "MM-IMDb": ("multilabel", "f1_micro", "74.3", "72.4")}
    for data, (task, f1, own, number) in others.items():
        for metric, word in (("accuracy", "accuracy"), (f1, "F1")):
            printed_word = f" ({own} against {number} %)" if metric == "accuracy" else ""
            says = f"On {data} the method's {word} is above MulT's{printed_word}, and so above TFN's and LMF's."
            found.append(Claim("Table 1", says, about=f"{data}, {word}", measure=compares("mldfa", "mult", of="rivals", metric=metric, task=task)))
    return found


def _sweeps() -> list[Claim]:
    found = []
    for item, best, others, name, what in (
        ("Figure 3", BEST_WIDTH, (256, 1024), _width, "a hidden size of 512"),
        ("Figure 4", BEST_RATE, (1e-4, 1e-3), _rate, "a learning rate of .0005"),
        ("Figure 5", BEST_BATCH, (16, 64), _batch, "a batch of 32"),
    ):
        for other in others:
            measure = compares(name(best), name(other), of="settings", split="valid")
            found.append(Claim(item, f"The method is best with {what} (MM-IMDb); {other:g} is worse.", about=f"against {other:g}", measure=measure))
    return found


CLAIMS = (
    drawing("Figure 1", "The parts of a transformer.", DRAWN),
    drawing("Figure 2", "The whole model: encoders, alignment, gates, attention and graph.", DRAWN),
    *_table_1(),
    *_sweeps(),
)
"""Every numbered table (the paper counts in Roman numbers) and figure of the paper has one or more."""
