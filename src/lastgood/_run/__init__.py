"""Runs: the checkpoints in a directory, their journal and their pruning."""

from .keeper import Keeper
from .pruning import name_below
from .run import Run, open_run
from .series import Series, by_age, set_aside

__all__ = ["Keeper", "Run", "Series", "by_age", "name_below", "open_run", "set_aside"]
