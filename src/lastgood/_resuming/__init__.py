"""A running ``fit``: the training state in its saves, how it resumes a run, and how a signal ends it."""

from .fit_session import FitSession
from .signals import Interruption, parse_signals

__all__ = ["FitSession", "Interruption", "parse_signals"]
