"""Trainings and suites on systems that this machine pretends to be."""
