"""Simulates the other system in each child process, too: Python imports this at its start from PYTHONPATH."""

import helpers.elsewhere  # noqa: F401 - it is imported for what it does
