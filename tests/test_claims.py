"""Claims of papers: the rule on made numbers, every numbered item, names that exist, reasons instead of crashes, and nothing written by hand."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from workbench import claims, methods
from workbench.errors import ConfigError, TrainingError
from workbench.experiments import Results, compare
from workbench.papers import adaptive_weight_fusion, delta_attention, measures, mldfa, mmiln
from workbench.papers.claim import DRAWING, SETTINGS, Claim, Findings, Measured, UntestableError
from workbench.papers.setup import Setup, Trainings
from workbench.studies import draws
from workbench.tasks import METRIC_NAMES, metrics_of

SHARED = Path(__file__).parents[2] / "shared" / "papers"
FILES = {
    "adaptive_weight_fusion": "adaptive_weight_fusion.txt",
    "mldfa": "mldfa.txt",
    "mmiln": "mmiln.txt",
    "delta_attention": "hierarchical_delta_attention.txt",
}
ROMAN = {"I": "1", "II": "2", "III": "3", "IV": "4"}


def series(*values, first=0):
    return pd.Series(values, index=range(first, first + len(values)), dtype=float)


def measured(after, before, **facts):
    return lambda found: Measured(series(*after), series(*before), ("new", "old"), "score", **facts)


NOTHING = Findings({}, {}, {}, {})
BASE = [0.70, 0.71, 0.69, 0.72, 0.70]
UP = [0.80, 0.82, 0.79, 0.82, 0.81]
NOISY = [0.71, 0.69, 0.72, 0.70, 0.71]


def judge(*found):
    return claims.judge("made", found, NOTHING)


# The rule


@pytest.mark.parametrize(
    ("after", "before", "settings", "facts", "verdict"),
    [
        (UP, BASE, {}, {}, "supported"),
        (BASE, UP, {}, {}, "opposite"),
        (NOISY, BASE, {}, {}, "no difference"),
        (BASE, UP, {}, {"is_error": True}, "supported"),
        (UP, BASE, {}, {"is_error": True}, "opposite"),
        (BASE, UP, {"direction": "below"}, {}, "supported"),
        (UP, BASE, {"direction": "above"}, {"is_error": True}, "supported"),
        (NOISY, BASE, {"direction": "on par", "margin": 0.05}, {}, "supported"),
        (NOISY, BASE, {"direction": "on par", "margin": 0.01}, {}, "no difference"),
        (BASE, UP, {"direction": "on par", "margin": 0.05}, {}, "opposite"),
        (UP, BASE, {"direction": "on par", "margin": 0.05}, {"is_error": True}, "opposite"),
        ([0.4], [0.6], {"direction": "below"}, {"is_exact": True}, "supported"),
        ([0.7], [0.6], {"direction": "below"}, {"is_exact": True}, "opposite"),
        ([0.7], [0.6], {}, {}, "not testable"),
        (BASE, BASE, {}, {}, "no difference"),
    ],
)
def test_one_rule_gives_the_verdict(after, before, settings, facts, verdict):
    (row,) = judge(Claim("Table 1", "It is better.", measure=measured(after, before, **facts), **settings)).to_dict("records")
    assert row["verdict"] == verdict
    assert row["mean"] == pytest.approx(np.mean(np.subtract(after, before)))
    assert row["reason"] == ("one seed: there is no interval" if verdict == "not testable" else "")


def test_a_moved_difference_has_the_p_of_a_t_test_against_the_margin():
    from scipy import stats

    change = Measured(series(*NOISY), series(*BASE), ("new", "old"), "score").difference()
    moved = claims.moved(change, 0.02)
    expected = stats.ttest_1samp(np.subtract(NOISY, BASE), -0.02)
    assert (moved.mean, moved.p) == (pytest.approx(change.mean + 0.02), pytest.approx(expected.pvalue))
    assert moved.low == pytest.approx(change.low + 0.02)
    assert claims.moved(change, 0.0) is change


def test_claims_of_one_item_are_judged_at_once():
    weak = [0.70, 0.75, 0.72, 0.74, 0.72]  # p about .03 against BASE
    one = Claim("Table 1", "It is better.", about="first", measure=measured(weak, BASE))
    alone = judge(one).iloc[0]
    assert 0.0125 < alone["p"] < 0.05 and alone["verdict"] == "supported"
    others = [Claim("Table 1", "It is better.", about=f"other {i}", measure=measured(NOISY, BASE)) for i in range(3)]
    together = judge(one, *others)
    assert set(together["verdict"]) == {"no difference"}
    assert together["is_found_alone"].tolist() == [True, False, False, False]
    assert claims.say_verdict(together.iloc[0]).endswith("(by itself it would be)")
    elsewhere = [Claim("Table 2", one.says, measure=other.measure) for other in others]
    assert judge(one, *elsewhere).iloc[0]["verdict"] == "supported"


def test_what_is_no_result_missing_or_failed_is_not_testable_and_says_why():
    def broken(found):
        raise UntestableError("the data has no vision")

    found = judge(
        Claim("Table 1", "Settings.", why_not=SETTINGS),
        Claim("Table 2", "It is better.", measure=broken),
        Claim("Table 3", "It is better.", measure=measures.compares("a", "b", of="gone")),
        Claim("Table 4", "It is better.", measure=lambda found: Measured(series(0.1), series(0.2, first=5), ("a", "b"), "score")),
    )
    assert set(found["verdict"]) == {"not testable"}
    assert found["reason"].tolist() == [SETTINGS, "the data has no vision", "gone: not trained", "a and b share no seed"]
    assert [row[3] for row in claims.claim_rows(found)][1] == "not testable: the data has no vision"
    assert [row[2] for row in claims.claim_rows(found)] == ["-"] * 4


def test_tables_come_first_each_kind_by_its_number():
    items = ["Figure 2", "Table 10", "Figure 1", "Table 9"]
    assert judge(*(Claim(item, "A drawing.", why_not=DRAWING) for item in items))["item"].tolist() == ["Table 9", "Table 10", "Figure 1", "Figure 2"]


def test_numbers_and_words_of_a_row_are_those_of_the_difference():
    (row,) = claims.claim_rows(judge(Claim("Table 3", "It is better.", about="LF", measure=measured(UP, BASE))))
    assert row == (
        "Table 3, LF",
        "It is better.",
        "score: new .808 ± .013, old .704 ± .011; difference +.104 (95 % +.097 to +.111, n = 5, p < .001)",
        "supported",
    )
    says = {"supported": "not worse", "opposite": "found worse", "no difference": "too wide to say that it is not worse"}
    for verdict, word in says.items():
        told = claims.say_verdict({"verdict": verdict, "margin": 0.02, "is_found_alone": False, "reason": ""})
        assert told == f"{'supported' if verdict == 'supported' else 'not supported'}: {word} by more than .020"


def test_a_claim_has_a_measure_or_a_reason_and_a_margin_only_where_it_is_needed():
    with pytest.raises(ConfigError, match="the claim of Table 1 needs a measure or a reason"):
        Claim("Table 1", "It is better.")
    with pytest.raises(ConfigError, match="needs a measure or a reason"):
        Claim("Table 1", "It is better.", measure=measured(UP, BASE), why_not=DRAWING)
    with pytest.raises(ConfigError, match=r"has margin 0\.1 and direction better"):
        Claim("Table 1", "It is better.", measure=measured(UP, BASE), margin=0.1)


# The papers


@pytest.mark.parametrize("name", claims.PAPERS)
def test_every_numbered_item_of_the_paper_has_a_claim(name):
    path = SHARED / FILES[name]
    if not path.is_file():
        pytest.skip("the papers are not in the repository: /work/shared/papers is not on this machine")
    text = path.read_text(encoding="utf-8")
    captions = re.findall(r"^ *(Table|Figure|TABLE|图|表) ?([0-9IV]+)[.:]? +(?!中|描述)\S", text, re.MULTILINE)
    kinds = {"图": "Figure", "表": "Table", "TABLE": "Table"}
    printed = {f"{kinds.get(kind, kind)} {ROMAN.get(number, number)}" for kind, number in captions}
    assert len(printed) >= 4
    assert {claim.item for claim in claims.PAPERS[name].CLAIMS} == printed


@pytest.mark.parametrize("name", claims.PAPERS)
def test_claims_say_what_the_paper_says_and_nothing_about_ours(name):
    found = claims.PAPERS[name].CLAIMS
    assert len({claim.title for claim in found}) == len(found)
    for claim in found:
        assert claim.says.endswith(".") and len(claim.says) < 160
        assert not re.search(r"\b(supported|testable|found|holds?|our|ours|here)\b", claim.says), claim.says


@dataclass
class Made:
    """Results with given scores by variant: enough for what a claim asks of runs."""

    runs: list
    headline: str
    failed: list = field(default_factory=list)
    traced: dict = field(default_factory=dict)

    def only(self, *names):
        failed = [row for row in self.failed if row["variant"] in names]
        return Made([run for run in self.runs if run.variant in names], self.headline, failed, self.traced)

    scores = Results.scores

    def steps(self, quantity):
        table = self.traced[quantity]
        return table[table["variant"].isin({run.variant for run in self.runs})]

    def __add__(self, other):
        return Made([*self.runs, *other.runs], self.headline)


def made_run(variant, seed, scores, **facts):
    return SimpleNamespace(variant=variant, seed=seed, metrics={"test": scores, "valid": scores, **facts}, config={"dataset": "toy"})


@pytest.fixture
def learned(toy):
    """Variants by name to runs that score well above a constant answer on the toy data, in every metric that its task has."""

    def make(variants, data=toy):
        spec = toy.spec.task
        good = {name: 0.2 if name == "mae" else 0.95 for name in metrics_of(spec)}
        runs = [made_run(name, seed, {key: value + 0.001 * seed for key, value in good.items()}) for name in variants for seed in range(3)]
        return Made(runs, "acc2_non0")

    return make


def test_scores_are_compared_by_seed_where_one_of_two_has_learned(toy, learned):
    found = Findings({"them": learned(["a", "b"])}, {"them": toy}, {"c": "it needs a GPU"}, {})
    one = measures.compares("a", "b", of="them")(found)
    assert one.quantity == METRIC_NAMES["acc2_non0"] and not one.is_error and one.pairs.shape == (3, 2)
    assert measures.compares("a", "b", of="them", metric="mae")(found).is_error
    for asked, reason in (
        (measures.compares("a", "c", of="them"), "it needs a GPU"),
        (measures.compares("a", "d", of="them"), "d was not trained"),
        (measures.compares("a", "b", of="them", metric="f1_happy"), r"toy has no F1 \(happy\)"),
        (measures.compares("a", "b", of="them", task="multilabel"), "a multilabel task, toy is regression"),
    ):
        with pytest.raises(UntestableError, match=reason):
            asked(found)
    found.of("them").failed.append({"variant": "d", "seed": 0, "error": "loss became nan\n  in d"})
    with pytest.raises(UntestableError, match=r"^the runs of d failed \(loss became nan\)$"):
        measures.compares("a", "d", of="them")(found)


def test_two_that_learned_no_more_than_a_constant_answer_are_not_compared(toy):
    runs = [made_run(name, seed, {"mae": 5.0 + 0.1 * seed * (name == "b")}) for name in ("a", "b") for seed in range(3)]
    found = Findings({"them": Made(runs, "mae")}, {"them": toy}, {}, {})
    with pytest.raises(UntestableError, match="neither a nor b is found to have learned more than the best constant answer"):
        measures.compares("a", "b", of="them")(found)
    runs[0].metrics["test"] = {}
    with pytest.raises(UntestableError, match="c has no MAE"):
        measures.score_by_seed(Findings({"them": Made([made_run("c", 0, {"mae": None})], "mae")}, {}, {}, {}), "them", "c", "mae")


def test_gradients_and_weights_are_read_as_hand_calculated():
    magnitude = {"text": 8.0, "audio": 2.0, "vision": 1.0}
    rows = [("a", seed, epoch, name, value) for seed in range(2) for epoch in (1, 2, 9) for name, value in magnitude.items()]
    rows += [("b", seed, epoch, name, 1.0) for seed in range(2) for epoch in (1, 2, 9) for name in magnitude]
    table = pd.DataFrame(rows, columns=["variant", "seed", "epoch", "modality", "value"])
    weights = table.assign(value=table["value"].where(table["epoch"] < 9, 0.5))
    runs = [made_run(name, seed, {}) for name in ("a", "b") for seed in range(2)]
    found = Findings({"them": Made(runs, "mae", traced={"last_layer": table, "weight": weights})}, {}, {}, {})
    lead = measures.gradient_lead("a", "text", of="them")(found)
    assert (lead.after.tolist(), lead.before.tolist(), lead.names[1]) == ([2.0, 2.0], [0.0, 0.0], "0")
    spread = measures.gradient_spread("a", "b", of="them")(found)
    assert (spread.after.tolist(), spread.before.tolist()) == ([3.0, 3.0], [0.0, 0.0])
    share = measures.weight_share("a", "text", of="them", epoch=7)(found)
    assert share.after.tolist() == pytest.approx([8 / 11, 8 / 11]) and share.before.tolist() == pytest.approx([1 / 3, 1 / 3])
    assert share.names[1] == "an even share (.333)"
    for asked in (measures.gradient_lead("a", "smell", of="them"), measures.weight_share("a", "smell", of="them", epoch=7)):
        with pytest.raises(UntestableError, match="smell"):
            asked(found)
    flat = Findings({"them": Made(runs, "mae", traced={"last_layer": table.assign(value=0.0)})}, {}, {}, {})
    with pytest.raises(UntestableError, match="no gradients of two modalities"):
        measures.gradient_lead("a", "text", of="them")(flat)


def test_seconds_of_two_machines_are_not_compared(monkeypatch):
    tables = {"a": ("x", 1.0), "b": ("x", 2.0), "c": ("y", 3.0)}

    def gathered(runs):
        return pd.DataFrame([{"seed": run.seed, "machine": tables[run.variant][0], "seconds": tables[run.variant][1]} for run in runs])

    monkeypatch.setattr(measures, "gather", gathered)
    found = Findings({"them": Made([made_run(name, seed, {}) for name in tables for seed in range(2)], "mae")}, {}, {}, {})
    one = measures.seconds("a", "b", of="them")(found)
    assert one.after.tolist() == [1.0, 1.0] and one.is_error
    with pytest.raises(UntestableError, match="2 kinds of machines"):
        measures.seconds("a", "c", of="them")(found)


# What is trained


@pytest.fixture
def asked(monkeypatch, toy, learned):
    """Every training that a paper asks for, made up instead of trained; its variants are checked for method and settings."""
    variants = {}

    def take(data, wanted, **settings):
        for name, one in wanted.items():
            method = methods.method(one["method"])
            methods.checked(method.Config, {**one.get("config", {})}, owner=name)
            variants[name] = one
        return learned(wanted)

    for module in ("workbench.papers.adaptive_weight_fusion.compare", "workbench.taxonomy.compare"):
        monkeypatch.setattr(module, take)
    monkeypatch.setattr("workbench.papers.setup.draws", lambda *_, **__: toy)
    monkeypatch.setattr("workbench.ladder.draws", lambda *_, **__: toy)
    monkeypatch.setattr("workbench.studies.draws", lambda *_, **__: toy)
    monkeypatch.setattr("workbench.papers.delta_attention.draws", lambda *_, **__: toy)
    return variants


NEEDS_TRACES = {"probed", "attended_share", "gradient_lead", "gradient_spread", "weight_share", "seconds", "nearer", "fused_over", "slopes"}
NEEDS_TRACES |= {"without_alignment", "parameters"}


@pytest.mark.parametrize("name", claims.PAPERS)
def test_claims_about_scores_name_variants_and_metrics_that_are_trained(name, asked):
    setup = Setup(seeds=3, hidden_range=mldfa.WIDTHS, has_pretrained_text=True, layer_range=(1, 3, 6))
    found = claims.PAPERS[name].findings(setup)
    assert asked and found.results
    reasons = []
    for claim in claims.PAPERS[name].CLAIMS:
        maker = "" if claim.measure is None else claim.measure.__qualname__.partition(".")[0]
        if claim.measure is None or maker in NEEDS_TRACES:
            continue
        try:
            assert claim.measure(found).pairs.shape == (3, 2)
        except UntestableError as error:
            reasons.append(error.what)
    # The toy task has one score: what is left are claims about tasks of another kind.
    assert [reason for reason in reasons if "task" not in reason] == []


@pytest.mark.parametrize("name", claims.PAPERS)
def test_a_comparison_whose_trainings_all_fail_makes_its_claims_untestable(name, asked, monkeypatch):
    def fail(*_, **__):
        raise TrainingError("all 4 runs failed; the first: loss became nan")

    for module in ("workbench.papers.adaptive_weight_fusion.compare", "workbench.taxonomy.compare"):
        monkeypatch.setattr(module, fail)
    found = claims.judged(name, Setup(seeds=2))
    assert set(found.frame["verdict"]) == {"not testable"}
    assert found.frame["reason"].str.len().min() > 10
    assert found.frame["reason"].str.contains("all 4 runs failed").any()
    assert found.scores()[1] == []


def test_a_variant_that_cannot_be_made_of_the_data_does_not_take_the_others_with_it(toy, learned):
    def make(variants):
        if "bad" in variants:
            raise ConfigError("bad needs two modalities")
        return learned(variants)

    made = Trainings()
    made.add("them", toy, make, {"good": {}, "bad": {}, "fine": {}})
    assert {run.variant for run in made.results["them"].runs} == {"good", "fine"}
    assert made.missing == {"bad": "could not be trained here: bad needs two modalities"}
    made.add("others", toy, make, {"bad": {}})
    assert "others" not in made.results and made.missing["others"] == made.missing["bad"]


def test_a_paper_that_is_not_asked_for_trains_nothing():
    found = claims.judged("mmiln", Setup(), papers=["mldfa"])
    assert found.frame.query("item == 'Table 3'")["reason"].unique().tolist() == ["mmiln is not among the papers that were asked for"]
    assert found.scores()[1] == [] and found.findings.results == {}
    with pytest.raises(ConfigError, match='unknown paper "mldf". Did you mean mldfa'):
        claims.judged("mldf", Setup())


def test_real_data_stands_for_all_presets_and_has_no_planted_looks():
    setup = Setup("mosi", samples=40, seeds=2)
    assert [setup.named(name) for name in (setup.dataset, setup.starved, setup.emotions)] == ["mosi"] * 3
    assert setup.options() == {} and not setup.is_planted
    made = Trainings()
    delta_attention._add_looks(made, setup, {})
    with pytest.raises(UntestableError, match="constant looks are known and can be changed, as in opinions; mosi has none"):
        delta_attention.slopes(Findings({}, {}, made.missing, {}))
    assert Setup().options() == {"train": 144, "valid": 72, "test": 144, "align_to": "text"}


def test_nearer_counts_samples(toy, learned):
    def run(name, said):
        told = {"predictions/test": {"prediction": SimpleNamespace(values=np.array(said)), "target": SimpleNamespace(values=np.zeros(4))}}
        return SimpleNamespace(variant=name, seed=0, metrics={"test": {"mae": 0.1}}, config={"dataset": "toy"}, trace=told)

    runs = [run("mmiln", [1.0, 1.0, 2.0, 3.0]), run("self_mm", [2.0, -2.0, 2.0, 1.0])]
    found = Findings({"rivals": Made(runs, "mae")}, {"rivals": toy}, {}, {})
    assert mmiln.nearer(found).after.tolist() == [(1 + 1 + 0.5 + 0) / 4]


def test_what_stands_inside_the_method_is_read_from_real_runs(tmp_path):
    data = draws("opinions/starved", 1, train=40, valid=20, test=40, align_to="text")
    setup = Setup(hidden_size=8)
    wanted = {name: one for name, one in adaptive_weight_fusion.own(setup).items() if name in ("AWF", "(-) GB")}
    results = compare(data, wanted, seeds=1, plan={"epochs": 1}, runs=tmp_path, workers=1, has_progress=False)
    found = Findings({"awf": results}, {"awf": data}, {}, {})
    share = adaptive_weight_fusion.attended_share("text")(found)
    assert 0 < share.after.iloc[0] < 1 and share.before.iloc[0] == pytest.approx(1 / 3)
    for measure in (adaptive_weight_fusion.probed("smell"), adaptive_weight_fusion.attended_share("smell")):
        with pytest.raises(UntestableError, match="the data has no smell"):
            measure(found)


# Tables and sentences


def test_counts_add_up_and_the_sentence_says_them():
    frame = judge(
        Claim("Table 1", "It is better.", measure=measured(UP, BASE)),
        Claim("Table 2", "It is better.", measure=measured(BASE, UP)),
        Claim("Figure 1", "A drawing.", why_not=DRAWING),
    )
    both = [claims.Judged("mldfa", "First", frame, NOTHING), claims.Judged("mmiln", "Second", frame.iloc[[2]], NOTHING)]
    table = claims.counts(both)
    assert table.iloc[:, 1:].to_numpy().tolist() == [[3, 1, 1, 0, 1], [1, 0, 0, 0, 1], [4, 1, 1, 0, 2]]
    assert claims.say_counts(both, Setup("mosi", seeds=1)) == (
        "2 papers: of 4 claims 2 tested, 1 supported, 1 with the opposite found (mosi; 1 seed each). "
        "First: of 3 claims 2 tested, 1 supported, 1 with the opposite found; Second: of 1 claim none tested."
    )


def test_what_the_paper_printed_stands_beside_with_what_is_not_as_here(learned):
    found = claims.Judged("mldfa", "MLDFA", judge(), Findings({"rivals": learned(["mldfa", "tfn"])}, {}, {}, {}))
    scores, metrics = found.scores()
    assert metrics == ["MAE", "Correlation"] and set(scores["variant"]) == {"mldfa", "tfn"}
    printed = found.printed(metrics)
    assert set(printed["variant"]) == {f"{name} in MLDFA Table I" for name in ("tfn", "lmf", "mult", "mldfa")}
    assert printed["source"].unique().tolist() == ["other data (mosi), other features, modalities"]
    assert printed[printed["variant"].str.startswith("mldfa")]["value"].tolist() == [0.81, 0.672]
    assert claims.Judged("mldfa", "MLDFA", judge(), NOTHING).printed(["Acc-7"]) is None


def test_counts_of_data_come_from_the_cards():
    assert mmiln.say_counts() == "train / valid / test by our cards: mosi_mmsa 1,284 / 229 / 686; mosei_mmsa 16,326 / 1,871 / 4,659"
