"""The figures of a whole run (figures.py, which become report.json), in words and as charts."""
