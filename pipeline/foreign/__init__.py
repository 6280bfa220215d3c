"""The layouts on disk of data sets that others made."""
