"""All pairs of a run: the list (rows.py), and the pictures and measurements of each pair (details.py)."""
