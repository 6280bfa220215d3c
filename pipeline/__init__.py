"""From photo pairs to patches, and the command line."""
