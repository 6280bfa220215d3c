"""Stage patches: windows of aligned photos, kept where both show the same."""
