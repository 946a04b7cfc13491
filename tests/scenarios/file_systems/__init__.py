"""Trainings on file systems of many kinds."""
