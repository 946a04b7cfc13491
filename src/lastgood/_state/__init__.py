"""What a checkpoint holds besides weights: other variables, randomness, callbacks, the place in the data."""
