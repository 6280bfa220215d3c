"""The sides of a split: what a network learns from, what it is chosen by, and what it is judged by."""

SPLITS = ("train", "validation", "test")
"""The sides of a split."""
EXCLUDED = "excluded"
"""The value for a photo that can be on none of these sides."""
