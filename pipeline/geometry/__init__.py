"""Geometry of aligned photos: homographies, transforms with a field, warping, and what a row of alignments says."""
