"""The ``lastgood`` command: list, inspect, verify, prune and report on checkpoints."""
