"""A running ``fit``: the training state in its saves, how it resumes a run, and how a signal ends it."""

from .fit_session import FitSession
from .preemption import Preemption
from .signals import Interruption, parse_signals

__all__ = ["FitSession", "Interruption", "Preemption", "parse_signals"]
