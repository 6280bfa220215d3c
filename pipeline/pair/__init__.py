"""Stage pair: which photos of two cameras show the same moment."""
