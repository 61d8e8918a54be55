"""Four papers: what each of their numbered tables and figures claims, what is trained to test it, and what is measured.

Verdicts: `workbench.claims`.
"""
