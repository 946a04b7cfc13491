"""Environments that lack what most have: a container's root, a notebook's kernel."""
