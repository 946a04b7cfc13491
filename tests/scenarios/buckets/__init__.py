"""Trainings into a bucket whose store fails at each of their requests."""
