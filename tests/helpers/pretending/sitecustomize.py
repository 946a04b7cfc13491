"""Has each Python process below this one pretend, too; Python imports it at its start, being on PYTHONPATH."""

import helpers.elsewhere  # noqa: F401 - it is imported for what it does
