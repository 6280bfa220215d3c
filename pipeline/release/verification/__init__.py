"""Whether a release, or somebody else's folder, is what it says: by whoever has downloaded it."""
