"""Stage align: the transform between the two photos of each pair, and whether it holds."""
