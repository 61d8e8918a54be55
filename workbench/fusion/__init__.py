"""Fusion operators, one file per family of the survey talk: pure modules `(balanced z, z, context) -> (fused, losses)`."""
