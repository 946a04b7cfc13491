"""``python -m lastgood`` is the command ``lastgood``."""

from ._cli.app import main

main()
