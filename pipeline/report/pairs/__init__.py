"""All pairs of a run: the list (rows.py), and of each pair the pictures and what was measured on them (details.py)."""
