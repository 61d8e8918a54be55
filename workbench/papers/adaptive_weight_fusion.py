"""Adaptive weight fusion: the claims of its ten tables and six figures.

Source: Luo, Wu, Liu, Tang: Multimodal sentiment analysis method based on adaptive weight fusion. Journal of Software 35(10), 4781-4793, 2024.

Decides: the paper's own model is trained with SGD; where a claim names no optimizer our `AWF` is trained with Adam, which needs fewer epochs.
Gradient magnitudes are compared as logarithms, so that "closer together" does not depend on their scale.
"""

from typing import Any

import pandas as pd

from workbench.experiments import compare
from workbench.papers.claim import SETTINGS, Claim, Findings, Measured, UntestableError, absent, drawing
from workbench.papers.measures import SHARE, against_constant, compares, gradient_lead, gradient_spread, has_learned, seconds, weight_share
from workbench.papers.setup import Setup, Trainings
from workbench.probes.linear import probe_runs
from workbench.studies import any_draw, weigh_anew
from workbench.tasks import metric_title

DRAWN = '04_baseline with method="awf"'
"""The notebook that draws the model."""

TITLE = "Adaptive weight fusion"

PRINTED = ("mosi", "AWF Table")
"""The card with the paper's rows, and how their source begins."""

SHOWN = (("hosts", "awf"), ("acc2_non0", "f1_non0", "mae", "corr"))
"""Comparisons and metrics of the table of scores."""

PLAN = {"learning_rate": 2e-3, "batch_size": 32, "probe_every": 0}

SGD = {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9}
"""The rate with which plain networks learn under SGD on the data of this house (`workbench.studies.SGD`), at the epochs of the others."""

HOSTS = {"LF-DNN": "lf_dnn", "LF-LSTM": "lf_lstm", "TFN": "tfn"}

RIVALS = {"TFN": "tfn", "LMF": "lmf", "MulT": "mult", "MISA": "misa", "Self-MM": "self_mm"}

FIRST_EPOCHS = 7
"""The epochs over which Figure 5's weight of text falls."""


def findings(setup: Setup) -> Findings:
    """What the claims need, trained."""
    data, made = setup.draw(setup.starved), Trainings()
    budget = setup.with_epochs(setup.balance_epochs)
    budget = budget | {"plan": budget["plan"] | PLAN}
    made.add("hosts", data, lambda variants: compare(data, variants, **budget), hosts(setup, has_text="text" in any_draw(data).modalities))
    made.add("awf", data, lambda variants: compare(data, variants, **budget), own(setup))
    if not setup.has_pretrained_text:
        made.missing |= {
            f"{host} (BERT){rule}": "no pretrained text encoder was asked for (has_pretrained_text)" for host in HOSTS for rule in ("", " (B)")
        }
    return Findings(made.results, made.data, made.missing, {})


def hosts(setup: Setup, *, has_text: bool) -> dict[str, dict[str, Any]]:
    """The models that B-fusion is put into: with the text alone, joint, and joint with B-fusion."""
    config, found = _config(setup), {}
    for title, method in HOSTS.items():
        texts = {"": {}, " (BERT)": {"text": "frozen"}} if setup.has_pretrained_text and title != "TFN" else {"": {}}
        for label, text in texts.items():
            plain = {"method": method, "preset": "none", "balance": "none", "config": config | text if title != "TFN" else {}}
            found[title + label] = plain
            if title != "TFN":
                found[f"{title}{label} (B)"] = plain | {"balance": "b_fusion"}
        if has_text:
            found[f"{title}, text alone"] = found[title] | {"modalities": ["text"]}
    return found


def own(setup: Setup) -> dict[str, dict[str, Any]]:
    """The method with its ablations and optimizers, and the rivals of its Table 4 that the workbench has."""
    plain = {"method": "awf", "preset": "none", "config": _config(setup)}
    on, off, sgd = {"balance": "b_fusion"}, {"balance": "none"}, {"plan": SGD}
    found = {"AWF": plain | on, "(-) GB": plain | off, "AWF (SGD)": plain | on | sgd, "(-) GB (SGD)": plain | off | sgd}
    found["(-) A-fusion"] = plain | on | {"config": {**_config(setup), "a_fusion": False}}
    small = {"mult": {"hidden_size": setup.hidden_size, "layers": 1, "memory_layers": 1}}
    rivals = {title: {"method": name, "preset": "none", "config": small.get(name, {})} | off for title, name in RIVALS.items()}
    # TFN is a host of Table 1 too, whose gradients are traced: one training for both.
    return found | {title: one if title in HOSTS else one | {"plan": {"is_traced": False}} for title, one in rivals.items()}


def _config(setup: Setup) -> dict[str, Any]:
    return {"hidden_size": setup.hidden_size, "post_size": setup.hidden_size}


def probed(modality: str) -> Any:
    """The score of a readout of one modality inside the method, with B-fusion and without."""

    def measure(found: Findings) -> Measured:
        values = []
        for name in ("AWF", "(-) GB"):
            results = found.variant("awf", name)
            table = probe_runs(results.runs, found.data["awf"])
            table = table[(table["modality"] == modality) & (table["metric"] == results.headline)]
            if not len(table):
                raise UntestableError(f"the data has no {modality}")
            values.append(table.set_index("seed")["value"])
        metric, names = found.of("awf").headline, (f"{modality} inside AWF", f"{modality} inside (-) GB")
        has_learned(found, "awf", dict(zip(names, values, strict=True)), metric)
        return Measured(values[0], values[1], names, metric_title(metric))

    return measure


def attended_share(modality: str) -> Any:
    """A modality's share of A-fusion's weights, trained anew with everything else frozen, against an even share."""

    def measure(found: Findings) -> Measured:
        results, values = found.variant("awf", "AWF"), {}
        for run in results.runs:
            table = weigh_anew(run, run.draw(found.data["awf"]), seeds=1)
            columns = [name for name in table if name.startswith("alpha ")]
            if f"alpha {modality}" not in columns:
                raise UntestableError(f"the data has no {modality}")
            values[run.seed] = float(table[f"alpha {modality}"].iloc[0] / table[columns].sum(axis=1).iloc[0])
        return against_constant(pd.Series(values), 1 / len(columns), f"{modality}'s share of alpha", SHARE, "an even share")

    return measure


def gain_of_gains(found: Findings) -> Measured:
    """What B-fusion adds under SGD against what it adds under Adam."""
    pairs = {"SGD": ("AWF (SGD)", "(-) GB (SGD)"), "Adam": ("AWF", "(-) GB")}
    measured = {name: compares(*pair, of="awf")(found) for name, pair in pairs.items()}
    gains = {name: (one.after - one.before).dropna() for name, one in measured.items()}
    one = measured["Adam"]
    return Measured(gains["SGD"], gains["Adam"], ("gain under SGD", "gain under Adam"), one.quantity, one.is_error)


def _table_1() -> list[Claim]:
    printed = {"LF-DNN": (".783", ".767"), "LF-LSTM": (".761", ".748"), "TFN": (".777", ".753")}
    says = "{0} with the text alone is more accurate than with all three modalities (MOSI, two classes: {1} against {2})."
    return [
        Claim("Table 1", says.format(name, *numbers), about=name, measure=compares(f"{name}, text alone", name, of="hosts"))
        for name, numbers in printed.items()
    ]


def _gradients() -> list[Claim]:
    lead = "In {0} the text's gradient magnitude is far above that of audio and video throughout training."
    apart = "With B-fusion the modalities' gradient magnitudes in {0} are closer together."
    found = [Claim("Figure 1", lead.format(name), about=name, measure=gradient_lead(name, "text", of="hosts"), direction="above") for name in HOSTS]
    for name in ("LF-DNN", "LF-LSTM"):
        measure = gradient_spread(f"{name} (B)", name, of="hosts")
        found.append(Claim("Figure 4", apart.format(name), about=name, measure=measure, direction="below"))
    return found


def _table_3() -> list[Claim]:
    printed = {"LF-DNN": (".767", ".794"), "LF-LSTM": (".748", ".774"), "LF-DNN (BERT)": (".781", ".806"), "LF-LSTM (BERT)": (".780", ".800")}
    says = "B-fusion raises the accuracy of {0} (MOSI, two classes: {1} to {2})."
    return [
        Claim("Table 3", says.format(name, *numbers), about=name, measure=compares(f"{name} (B)", name, of="hosts"))
        for name, numbers in printed.items()
    ]


def _table_4() -> list[Claim]:
    printed = {"TFN": "80.8", "LMF": "82.5", "MulT": "83.4", "MISA": "83.4", "Self-MM": "84.0, or 86.0 as quoted"}
    says = "The method is more accurate than {0} (MOSI, two classes: 86.3 against {1} %), and so on MOSEI and SIMS."
    found = [Claim("Table 4", says.format(name, number), about=name, measure=compares("AWF", name, of="awf")) for name, number in printed.items()]
    bert = "it works inside a pretrained language model, which is not trained here"
    found.append(absent("Table 4", "MAG-BERT", says.format("MAG-BERT", "83.5, or 84.3 as quoted"), bert))
    return [*found, absent("Table 4", "HGraph-CL", says.format("HGraph-CL", "86.2"), "HGraph-CL is not in the workbench")]


def _table_5() -> list[Claim]:
    printed = {"happy": (".842", ".829"), "sad": (".847", ".824"), "angry": (".867", ".858"), "neutral": (".714", ".700")}
    says = "On IEMOCAP the method's F1 of {0} is above MulT's ({1} against {2})."
    found = [
        Claim("Table 5", says.format(name, *numbers), about=name, measure=compares("AWF", "MulT", of="awf", metric=f"f1_{name}", task="multilabel"))
        for name, numbers in printed.items()
    ]
    others = "On IEMOCAP the method's F1 is above that of {0} for each of four emotions."
    names = ("LMF-MulT", "Fusion-Based-CM-Attn-MulT")
    return [*found, *(absent("Table 5", name, others.format(name), f"{name} is not in the workbench") for name in names)]


def _weights_and_time() -> list[Claim]:
    falls = f"B-fusion lowers the text's weight and raises the others' over the first {FIRST_EPOCHS} epochs."
    found = [Claim("Figure 5", falls, measure=weight_share("AWF", "text", of="awf", epoch=FIRST_EPOCHS), direction="below")]
    printed = {"MulT": "9.91", "Self-MM": "7.45"}
    says = "An epoch of the method takes less time than one of {0} (MOSI: 6.78 s against {1} s)."
    found += [Claim("Table 6", says.format(name, number), about=name, measure=seconds("AWF", name, of="awf")) for name, number in printed.items()]
    return [*found, absent("Table 6", "LMF-MulT", says.format("LMF-MulT", "11.01"), "LMF-MulT is not in the workbench")]


def _ablations() -> list[Claim]:
    says = "Under {0} B-fusion raises the accuracy (MOSI, two classes: {1} to {2} %)."
    found = [
        Claim("Table 7", says.format("SGD", "84.45", "86.28"), about="SGD", measure=compares("AWF (SGD)", "(-) GB (SGD)", of="awf")),
        Claim("Table 7", says.format("Adam", "84.30", "85.06"), about="Adam", measure=compares("AWF", "(-) GB", of="awf")),
        Claim(
            "Table 7", "B-fusion adds more under SGD (1.83) than under Adam (.76).", about="SGD over Adam", measure=gain_of_gains, direction="above"
        ),
    ]
    apart = "Inside the method, too, B-fusion brings the modalities' gradient magnitudes closer together."
    found.append(Claim("Figure 6", apart, measure=gradient_spread("AWF", "(-) GB", of="awf"), direction="below"))
    alone = {"text": ("84.76", "85.03"), "audio": ("65.22", "79.50"), "vision": ("67.10", "77.79")}
    inside = "With B-fusion the {0} network inside the method is more accurate by itself (MOSEI: {1} to {2} %)."
    found += [Claim("Table 8", inside.format(name, *numbers), about=name, measure=probed(name)) for name, numbers in alone.items()]
    whole = "A-fusion raises the accuracy (MOSI, two classes: 85.37 to 86.28 %)."
    found.append(Claim("Table 9", whole, measure=compares("AWF", "(-) A-fusion", of="awf")))
    share = "A-fusion trained anew, all else frozen, gives the text the largest share in the best of three rows (.36 : .34 : .30)."
    return [*found, Claim("Table 10", share, measure=attended_share("text"), direction="above")]


CLAIMS = (
    *_table_1(),
    *_gradients(),
    drawing("Figure 2", "The whole model: three unimodal networks, two weighted fusions, their mean.", DRAWN),
    drawing("Figure 3", "Modality attention: pooled features, two layers, a weight for each modality.", DRAWN),
    Claim("Table 2", "Settings by data set: batch, rate, widths, epochs, dropout, patience.", why_not=SETTINGS),
    *_table_3(),
    *_table_4(),
    *_table_5(),
    *_weights_and_time(),
    *_ablations(),
)
"""Every numbered table and figure of the paper has one or more."""
