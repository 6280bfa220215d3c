"""Data sets of others: their layouts on disk."""
