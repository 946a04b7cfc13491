"""What else, besides weights, makes a run continue: its place in the data, its randomness, its callbacks."""
