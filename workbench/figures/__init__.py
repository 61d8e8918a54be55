"""One question a file: a tidy table in, a figure with its caption out.

Every table has columns with fixed names (`variant`, `seed`, `epoch`, `modality`, `split`, `metric`, `value`); every figure carries a caption
computed from its numbers (`caption_of`). Nothing here knows torch. The names below are loaded when they are first asked for.
"""

from importlib import import_module
from typing import Any

HOMES = {
    "gradient_magnitude": "gradients",
    "weight_bars": "weights",
    "alpha_over_epochs": "attention",
    "alpha_distribution": "attention",
    "unimodal_and_joint": "scores",
    "outcome_bars": "dial_bars",
    "learning_curves": "curves",
    "predicted_and_true": "predictions",
    "confusion": "predictions",
    "scores_over_seeds": "over_seeds",
    "effect_map": "dial_map",
    "effect_maps": "rule_maps",
    "rule_effects": "rules",
    "rules_table": "rules",
    "magnitude_ratios": "rule_optimizers",
    "probes_by_rule": "rule_probes",
    "head_gaps": "rule_probes",
    "label_histogram": "data",
    "lengths_histogram": "data",
    "modality_alone": "data",
    "one_sample": "sample",
    "data_path": "datapath",
    "strategies_table": "families",
    "score_against_cost": "families",
    "cost_curves": "costs",
    "robustness_curves": "robustness",
    "treatment_bars": "robustness",
    "disturbed_lines": "areas",
    "area_dots": "areas",
    "subset_dots": "areas",
    "subset_table": "areas",
    "attention_map": "crossmodal",
    "gates_over_time": "gates",
    "weights_by_modality": "gates",
    "adjacency": "matrices",
    "factors": "matrices",
    "spaces": "vectors",
    "auxiliary_losses": "terms",
    "pseudo_labels": "terms",
    "label_errors": "made_labels",
    "gates_by_layer": "layer_gates",
    "gates_over_epochs": "layer_gates",
    "attention_by_layer": "attention_layers",
    "case_table": "case_table",
    "matrices_by_class": "by_class",
    "gates_by_class": "by_class",
    "gates_by_modality": "modality_gates",
    "modality_graph": "modality_graph",
    "lag_recovery": "planted",
    "over_dial": "planted",
    "delta_map": "delta_maps",
    "moved_shares": "delta_maps",
    "say_moved": "delta_maps",
    "correlations_over_epochs": "correlations",
    "score_ladder": "ladder",
    "ladder_table": "ladder",
    "scores_over_dial": "dial_lines",
    "say_slopes": "dial_lines",
    "say_slopes_at_once": "dial_lines",
    "slopes_compared": "dial_lines",
    "draw_view": "views",
    "explained": "explanation",
    "mute_states": "muting",
    "listened": "muting",
    "chosen_score": "chosen",
    "chosen_class": "chosen",
    "sweep_lines": "setting_lines",
    "sweep_pairs": "setting_pairs",
    "sweep_luck": "sweep_chance",
    "sweep_history": "sweep_course",
    "sweep_end": "sweep_choice",
    "sweep_importance": "optuna_views",
    "sweep_parallel": "optuna_views",
    "sweep_timeline": "optuna_views",
    "comparison_table": "compared",
    "pairs_table": "compared",
    "pair_matrix": "pairs",
    "rank_plot": "ranks",
    "verdict_forest": "verdicts",
    "TextTable": "exports",
    "save": "exports",
    "fact_table": "facts",
    "score_table": "tables",
    "ScoreTable": "tables",
    "caption_of": "captions",
    "show": "showing",
}
__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    """The public function of that name, from the file that holds it."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    globals()[name] = found
    return found
