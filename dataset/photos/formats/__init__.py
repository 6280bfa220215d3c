"""Formats of photos that are read: one module for each, and `table`, which lists them.

A new format is a module with its `FORMAT` and an entry in `table`.
"""
