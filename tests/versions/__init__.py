"""The versions that lastgood is tested with: a set of tests in an environment for each combination."""
