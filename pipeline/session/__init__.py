"""A session of the user's own: the files that it needs, the run, and what is installed to run it."""
