"""Formats of photos that are read: a module for each, and the table that lists them.

A new format touches two files: its own module, whose `FORMAT` says all that the project knows of it (`input_format`),
and `table`, where the module is named. Where `by_pillow` and `by_opencv` read it, that is a dozen lines, as in `bmp`.
The tests of every format, tests/unit/photos/test_every_format.py, then try it too, on a file that Pillow writes.
"""
