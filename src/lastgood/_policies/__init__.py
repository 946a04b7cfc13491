"""Decisions: when to save, to which path, and what is best. Pure functions; no I/O, no Keras."""
