"""The figures of a whole run in words and as charts. figures.py collects them; they become report.json."""
