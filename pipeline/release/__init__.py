"""Releases that others can load, check and cite without this project, and imports of other people's data sets."""
