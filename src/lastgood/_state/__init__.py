"""The training state: variables that are not weights, randomness, callbacks, the position in the data."""
