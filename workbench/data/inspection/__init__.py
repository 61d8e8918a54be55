"""Looking at a data set: checked against its card, probed for leaks, drawn."""
