"""Trainings in several processes, on loopback."""
