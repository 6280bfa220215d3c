"""Stage evaluate: scores of a network, and pictures of what it does."""
