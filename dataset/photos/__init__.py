"""Photos: which files are photos, how they are decoded, their metadata, and how they are written."""
