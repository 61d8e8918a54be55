"""MMILN: the claims of its four tables and four figures.

Source: Multi-task multi-modal interactive learning with self-supervised dynamic fusion (MMILN; in Chinese).

Decides: Table 4 tells four examples, which prove nothing; what they are told for, that the method is nearer to the truth than Self-MM, is asked of
all test samples. Figure 4's choice of a number of layers is judged on valid.
"""

from typing import Any

import numpy as np
import pandas as pd

from workbench import depth
from workbench.data.card import card
from workbench.papers.claim import COUNTS, Claim, Findings, Measured, UntestableError, absent, drawing
from workbench.papers.measures import SHARE, against_constant, compares
from workbench.papers.setup import Setup, Trainings
from workbench.taxonomy import trained

DRAWN = "06_mmiln"
"""The notebook that draws the model."""

TITLE = "MMILN"

PRINTED = ("mosi_mmsa", "MMILN Table")
"""The card with the paper's rows, and how their source begins."""

SHOWN = (("rivals", "parts"), ("acc2_non0", "mae", "corr"))
"""Comparisons and metrics of the table of scores."""

COUNTED = ("mosi_mmsa", "mosei_mmsa")
"""The cards of the data that Table 1 counts."""

RIVALS = {"tfn": ("TFN", "80.8"), "lmf": ("LMF", "82.5"), "mult": ("MulT", "84.1"), "misa": ("MISA", "83.4"), "mmim": ("MMIM", "85.5 to 86.1")}
"""Rivals of Table 2 with the accuracy that it prints, besides Self-MM and MFN, whose 77.4 counts neutral as positive."""

BEST_LAYERS = 3


def findings(setup: Setup) -> Findings:
    """What the claims need, trained."""
    data, made, config = setup.draw(setup.dataset), Trainings(), {"hidden_size": setup.hidden_size}
    made.attempt("rivals", data, lambda: depth.against_baseline(data, config=config, **setup.budget))
    made.attempt("rivals", data, lambda: depth.beside_attention(data, config=config, **setup.budget), missing="mult")
    made.add("rivals", data, lambda variants: trained(data, variants, **setup.budget), rivals())
    whole = {depth.METHOD: {}} | depth.ABLATIONS
    variants = {name: depth.suited(depth.METHOD, {**config, **off}) for name, off in whole.items()}
    made.add("parts", data, lambda variants: trained(data, variants, **setup.budget), variants)
    layered = {_layers(count): depth.suited(depth.METHOD, {**config, "layers": count}) for count in setup.layer_range}
    made.add("layers", data, lambda variants: trained(data, variants, **setup.budget), layered)
    made.missing |= {_layers(count): f"{_layers(count)}: not in layer_range" for count in range(1, 7) if count not in setup.layer_range}
    return Findings(made.results, made.data, made.missing, {"Table 1": say_counts()})


def rivals() -> dict[str, dict[str, Any]]:
    """Rivals with the settings that suit `opinions`, where they have such; all get the same number of epochs."""
    return {"tfn": {"method": "tfn"}, "lmf": {"method": "lmf"}, "mfn": {"method": "mfn"}, "misa": depth.suited("misa"), "mmim": depth.suited("mmim")}


def _layers(count: int) -> str:
    return f"{count} {'layer' if count == 1 else 'layers'}"


def say_counts() -> str:
    """What the data cards count, as the paper's Table 1 does."""
    said = []
    for name in COUNTED:
        counts = card(name).splits
        said.append(f"{name} {' / '.join(f'{counts[split]:,}' for split in ('train', 'valid', 'test'))}")
    return f"train / valid / test by our cards: {'; '.join(said)}"


def nearer(found: Findings) -> Measured:
    """The share of the test samples whose prediction is nearer to the truth than Self-MM's, against a half; ties count half.

    Raises:
        UntestableError: the predictions are no numbers.
    """
    if found.task("rivals").kind != "regression":
        raise UntestableError("predictions that are no numbers are not nearer or further")
    compares(depth.METHOD, depth.BASELINE, of="rivals", metric="mae")(found)  # says so where neither has learned
    errors = {name: {run.seed: _errors(run) for run in found.variant("rivals", name).runs} for name in (depth.METHOD, depth.BASELINE)}
    own, other = errors.values()
    shares = {seed: float(np.mean(np.sign(other[seed] - own[seed]) + 1) / 2) for seed in own if seed in other}
    return against_constant(pd.Series(shares), 0.5, f"samples nearer than {depth.BASELINE}", SHARE, "a half")


def _errors(run: Any) -> np.ndarray:
    told = run.trace["predictions/test"]
    return np.abs(told["prediction"].values - told["target"].values)


def _table_2() -> list[Claim]:
    says = "The method is more accurate than {0} (MOSI, negative / positive: 86.43 against {1} %)."
    base = says.format("Self-MM", "85.98")
    found = [
        Claim("Table 2", base, about="Self-MM", measure=compares(depth.METHOD, depth.BASELINE, of="rivals")),
        Claim("Table 2", base, about=f"Self-MM, {depth.LONGER} x epochs", measure=compares(depth.METHOD, depth.LONG, of="rivals")),
    ]
    found += [Claim("Table 2", says.format(*row), about=row[0], measure=compares(depth.METHOD, name, of="rivals")) for name, row in RIVALS.items()]
    has0 = "The method is more accurate than MFN (MOSI, negative / not negative: 84.55 against 77.4 %)."
    found.append(Claim("Table 2", has0, about="MFN", measure=compares(depth.METHOD, "mfn", of="rivals", metric="acc2_has0")))
    error = "On MOSI the method's error is below Self-MM's (.709 against .713)."
    measure = compares(depth.METHOD, depth.BASELINE, of="rivals", metric="mae", task="regression")
    found.append(Claim("Table 2", error, about="Self-MM, MAE", measure=measure))
    bert = "it works inside a pretrained language model, which is not trained here"
    found.append(absent("Table 2", "MAG-BERT", says.format("MAG-BERT", "84.4 to 86.1"), bert))
    names = "RAVEN, MFM, AMML, EMT"
    return [*found, absent("Table 2", names, f"The method is more accurate than {names}.", f"{names} are not in the workbench")]


def _table_3() -> list[Claim]:
    printed = {"-MRM": (".586", "85.00"), "-MFM": (".574", "85.75"), "-GateFusion": (".576", "85.09")}
    found = []
    for name, (error, accuracy) in printed.items():
        says = f"Without {name.removeprefix('-')} the error rises (MOSEI: .529 to {error})."
        found.append(Claim("Table 3", says, about=f"{name}, MAE", measure=compares(depth.METHOD, name, of="parts", metric="mae", task="regression")))
        says = f"Without {name.removeprefix('-')} the accuracy falls (MOSEI, negative / positive: 85.86 to {accuracy} %)."
        found.append(Claim("Table 3", says, about=f"{name}, accuracy", measure=compares(depth.METHOD, name, of="parts")))
    return found


def _figure_4() -> list[Claim]:
    says = "Accuracy rises up to three fusion layers and falls after (MOSI, one to six layers): three are better than {0}."
    return [
        Claim(
            "Figure 4",
            says.format(word),
            about=f"against {count}",
            measure=compares(_layers(BEST_LAYERS), _layers(count), of="layers", split="valid"),
        )
        for count, word in ((1, "one"), (6, "six"))
    ]


CLAIMS = (
    drawing("Figure 1", "Fusion of high with low features as others do it, and layer by layer.", DRAWN),
    drawing("Figure 2", "The whole model.", DRAWN),
    drawing("Figure 3", "One fusion layer: a gated transformer and the one that reads it into the text.", DRAWN),
    Claim("Table 1", "MOSI has 1,284 / 229 / 686 samples, MOSEI 16,326 / 1,871 / 4,659.", why_not=COUNTS),
    *_table_2(),
    *_table_3(),
    Claim("Table 4", "In three of four examples the method is nearer to the truth than Self-MM.", measure=nearer, direction="above"),
    *_figure_4(),
)
"""Every numbered table and figure of the paper has one or more."""
