"""Imports other people's data sets in the layout of DPED into tables and shards."""
