"""The simulated data set `opinions`: dials, grammar, rendering, exact ceilings."""
