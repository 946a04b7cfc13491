"""The report: the history and state of a run as an HTML page."""
