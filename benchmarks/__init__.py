"""Benchmarks, measured from outside with the commands that a user types; no package imports them."""
