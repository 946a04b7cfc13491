"""A directory of checkpoints."""

from .paths import by_age, matching_directories, matching_paths, newest_checkpoint, set_aside
from .run import Checkpoint, Problem, Run, open_run

__all__ = [
    "Checkpoint",
    "Problem",
    "Run",
    "by_age",
    "matching_directories",
    "matching_paths",
    "newest_checkpoint",
    "open_run",
    "set_aside",
]
