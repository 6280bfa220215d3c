"""Enhancing whole photos: exact results, in stripes of rows, within a memory limit."""
