"""Photos: which files are, how they are decoded, what they say of themselves, and how they are written."""
