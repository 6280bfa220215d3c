"""Stage evaluate: the scores of a network, and pictures before and after it."""
