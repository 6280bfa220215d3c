"""Benchmarks: measured from outside, by the commands that a user types; no package imports them."""
