"""Trainings of several processes, on loopback."""
