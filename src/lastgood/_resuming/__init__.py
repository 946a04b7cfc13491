"""A ``fit`` that is running: what its saves hold of it, how it continues a run, and how a signal ends it."""

from .fit_session import FitSession
from .signals import Interruption, parse_signals

__all__ = ["FitSession", "Interruption", "parse_signals"]
