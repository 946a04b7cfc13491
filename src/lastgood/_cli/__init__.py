"""``lastgood``, the command: what there is in a run, whether it is intact, and what to keep of it."""
