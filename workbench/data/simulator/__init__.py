"""The simulated data set `opinions`: dials, grammar, rendering, six emotions, exact ceilings."""
