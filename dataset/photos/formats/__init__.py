"""Formats of photos that are read: a module for each, and the table that lists them.

A new format touches two files: its own module, whose `FORMAT` has all that the project knows about it (`input_format`),
and `table`, where the module is named. If `by_pillow` and `by_opencv` read the format, a dozen lines are enough, as in
`bmp`. The tests of every format, tests/unit/photos/test_every_format.py, then include it, on a file that Pillow writes.
"""
