"""Releases: a data set that others can load, check and cite without this project, and other people's data sets."""
