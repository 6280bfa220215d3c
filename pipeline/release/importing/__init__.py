"""Data sets in the layout of DPED, made by others, to tables and shards."""
