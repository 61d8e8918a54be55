"""Hierarchical delta-attention: the claims of its two tables and two figures.

Source: Panchal: Hierarchical delta-attention method for multimodal fusion (about 2020).

Decides: "very competitive", "on par" and "almost similar" are read as not worse by more than `MARGIN`, "almost half" as less than `HALF` of the
parameters. The paper does not define its accuracy of six emotions: `accuracy_top` stands for it. The caption of Figure 1 claims that delta
attention "takes into account the idiosyncratic behaviour": where speakers can be given constant looks (simulated data) that is tried.
"""

from dataclasses import replace

import pandas as pd

from workbench import delta, ladder
from workbench.errors import WorkbenchError
from workbench.papers.claim import SETTINGS, Claim, Findings, Measure, Measured, UntestableError, absent, drawing
from workbench.papers.measures import against_constant, compares, has_learned
from workbench.papers.setup import Setup, Trainings
from workbench.probes.ladder import stage_scores
from workbench.studies import draws
from workbench.tasks import LOWER_IS_BETTER, metric_title
from workbench.taxonomy import Data, trained, turned

DRAWN = "07_delta_attention"
"""The notebook that draws the model."""

TITLE = "Hierarchical delta-attention"

PRINTED = (ladder.PRINTED, "HDA Table")
"""The card with the paper's rows, and how their source begins."""

MARGIN, HALF = 0.02, 0.6

SHOWN = (("rivals",), ladder.OVERALL)
"""Comparisons and metrics of the table of scores."""

GRAPH = "graph_mfn"

METRIC = "accuracy_top"
"""What stands for the paper's accuracy of six emotions."""

LOOKS = "idiosyncrasy"


def findings(setup: Setup) -> Findings:
    """What the claims need, trained."""
    made = Trainings()
    config = {"hidden_size": setup.hidden_size, "head_size": 8, "heads": 2, "correlated_size": 8, "post_size": setup.hidden_size}
    rival = {"hidden_size": setup.hidden_size, "layers": 1, "memory_layers": 1}
    budget, drawn = setup.with_epochs(setup.stage_epochs), _both_ways(setup, made)
    for name, data in drawn.items():
        made.attempt(name, data, lambda data=data: ladder.alone_trained(data, config=config, **budget))
    data = drawn[delta.UNALIGNED]
    made.attempt("rivals", data, lambda: ladder.beside_rival(data, config=config, rival_config=rival, **budget))
    made.add("rivals", data, lambda variants: trained(data, variants, **budget), {GRAPH: {"method": GRAPH}})
    _add_looks(made, setup, config)
    return Findings(made.results, made.data, made.missing, {})


def _both_ways(setup: Setup, made: Trainings) -> dict[str, Data]:
    """The data as recorded, and aligned where it can be; else the reason."""
    name, options = setup.named(setup.emotions), setup.sizes if setup.is_planted else {}
    try:
        return ladder.draws_of(name, setup.seeds, **options)
    except WorkbenchError as error:
        made.missing[delta.ALIGNED] = f"{name} cannot be aligned: {error.what.splitlines()[0]}"
        return {delta.UNALIGNED: draws(name, setup.seeds, **options)}


def _add_looks(made: Trainings, setup: Setup, config: dict) -> None:
    """Both ways to attend, with the speakers' constant looks at each value of the dial: a comparison a value.

    Only the first stage of these trainings is read (vision alone): the others are as short as they can be.
    """
    if not setup.is_planted:
        made.missing[LOOKS] = f"it needs speakers whose constant looks are known and can be changed, as in opinions; {setup.dataset} has none"
        return
    short = {"stages": {name: {"epochs": 1} for name in ("correlation", "fusion")}}
    ways = delta.readings(list(delta.CLAIM), config=config, plan=short)
    for value in setup.idiosyncrasy:
        data = draws(setup.dataset, setup.seeds, **setup.options(), **turned(LOOKS, value))
        made.attempt(f"{LOOKS} {value:g}", data, lambda data=data: trained(data, ways, **setup.with_epochs(setup.stage_epochs)), missing=LOOKS)


def slopes(found: Findings) -> Measured:
    """What the dial takes from delta attention and from plain attention, from its lowest value to its highest, with vision alone."""
    values = sorted(float(name.partition(" ")[2]) for name in found.results if name.startswith(f"{LOOKS} "))
    if len(values) < 2:
        raise UntestableError(found.missing.get(LOOKS, "the dial was not turned to two values"))
    trainings = {value: (found.of(f"{LOOKS} {value:g}"), found.data[f"{LOOKS} {value:g}"]) for value in (values[0], values[-1])}
    scores = delta.dial_scores(trainings, modality="vision")
    if not len(scores):
        raise UntestableError("the data has no vision")
    table = scores.pivot_table(index="seed", columns=["variant", "x"], values="value")
    change = {name: table[name, values[-1]] - table[name, values[0]] for name in delta.CLAIM}
    metric = trainings[values[0]][0].headline
    names = tuple(f"change of {name}, {LOOKS} {values[0]:g} to {values[-1]:g}" for name in delta.CLAIM)
    return Measured(change[delta.DELTA], change[delta.PLAIN], names, metric_title(metric), metric in LOWER_IS_BETTER)


def rung(found: Findings, kind: str, block: str, name: str) -> tuple[pd.Series, str]:
    """The scores of one stage by seed, and the metric: the paper's where the task has it, else the headline."""
    results = found.variant(kind, delta.METHOD)
    metric = METRIC if found.task(kind).kind == "multilabel" else results.headline
    table = stage_scores(results.runs, metrics=[metric])
    chosen = table[(table["block"] == block) & (table["rung"] == name)]
    if not len(chosen):
        raise UntestableError(f"there is no stage {name} in these runs")
    return chosen.set_index("seed")["value"], metric


def fused_over(block: str, name: str) -> Measure:
    """The fused model against one of its stages."""

    def measure(found: Findings) -> Measured:
        after, metric = rung(found, delta.UNALIGNED, "fused", "fused")
        before, _ = rung(found, delta.UNALIGNED, block, name)
        has_learned(found, delta.UNALIGNED, {"fused": after, name: before}, metric)
        return Measured(after, before, ("fused", name), metric_title(metric), metric in LOWER_IS_BETTER)

    return measure


def without_alignment(found: Findings) -> Measured:
    """The fused model on data as recorded against the same on aligned data."""
    after, metric = rung(found, delta.UNALIGNED, "fused", "fused")
    before, _ = rung(found, delta.ALIGNED, "fused", "fused")
    has_learned(found, delta.UNALIGNED, {delta.UNALIGNED: after, delta.ALIGNED: before}, metric)
    return Measured(after, before, (delta.UNALIGNED, delta.ALIGNED), metric_title(metric), metric in LOWER_IS_BETTER)


def against(rival: str) -> Measure:
    """The method against another on data as recorded, in the paper's metric where the task has it."""

    def measure(found: Findings) -> Measured:
        metric = METRIC if found.task("rivals").kind == "multilabel" else ""
        return compares(delta.METHOD, rival, of="rivals", metric=metric)(found)

    return measure


def parameters(found: Findings) -> Measured:
    """Parameters as a share of MulT's, both at one width and with their own depth: counted, not sampled."""
    run = found.variant("rivals", delta.METHOD).runs[0]
    table = ladder.equal_width(found.data["rivals"], int(run.config["config"]["hidden_size"]), rounds=1)
    counts = table[table["quantity"] == "parameters"].set_index("variant")["value"]
    share = pd.Series({run.seed: counts[delta.METHOD] / counts[delta.RIVAL]})
    return replace(against_constant(share, HALF, "parameters over MulT's", "share of parameters"), is_exact=True)


def _table_2() -> list[Claim]:
    alone = {"text": "44.6", "vision": "50.2", "audio": "49.3"}
    says = "Fused modalities are more accurate than {0} alone (six emotions of MOSEI: 49.9, aligned 49.7, against {1} %)."
    found = [
        Claim("Table 2", says.format(name, number), about=f"{name} alone", measure=fused_over("single modalities", name))
        for name, number in alone.items()
    ]
    stage = "Attention on top is more accurate than the correlated representation that it reads (49.9 against 47.3 %)."
    found.append(Claim("Table 2", stage, about="correlated", measure=fused_over("correlated", "correlated")))
    par = "Without alignment the model is on par with itself on aligned data (49.9 and 49.7 %)."
    found.append(Claim("Table 2", par, about="alignment", measure=without_alignment, direction="on par", margin=MARGIN))
    rival = "The model is very competitive to MulT (49.9 against 50.7 %)."
    found.append(Claim("Table 2", rival, about="MulT", measure=against(delta.RIVAL), direction="on par", margin=MARGIN))
    half = "It has almost half the number of MulT's parameters; no number is printed."
    found.append(Claim("Table 2", half, about="parameters", measure=parameters, direction="below"))
    graph = "The model is more accurate than Graph-MFN (49.9 against 45.0 %)."
    found.append(Claim("Table 2", graph, about="Graph-MFN", measure=against(GRAPH)))
    others = "The model is more accurate than three earlier results (44.4, 44.6, 44.7 %)."
    return [*found, absent("Table 2", "SOTA1 to SOTA3", others, "these three are not in the workbench")]


_LOOKS = "Delta attention takes the idiosyncratic behaviour of people into account: constant looks cost it less than plain attention."

CLAIMS = (
    Claim("Figure 1", _LOOKS, about="caption", measure=slopes),
    drawing("Figure 1", "The delta self-attention module.", DRAWN),
    drawing("Figure 2", "The correlation module, the attention over fused steps, and the whole model.", DRAWN),
    Claim("Table 1", "Settings of the five modules, each trained by itself.", why_not=SETTINGS),
    *_table_2(),
)
"""Every numbered table and figure of the paper has one or more."""
