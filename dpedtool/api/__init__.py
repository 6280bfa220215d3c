"""The functions of `import dpedtool`, which lies on top of all other folders: commands and stages do not import it.

Each function hands arrays or files to the functions that the commands call, so that results are the same.
"""
