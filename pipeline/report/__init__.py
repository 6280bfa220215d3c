"""Stage report: one HTML page on a whole run, and a folder of pictures beside it that it loads as they are looked at.

run.py reads what the stages left. overview/ turns it into figures (report.json) and charts, pairs/ into the list of
all pairs and the pictures of each, patches.py into the patches that are shown. page.py puts all of it into
templates/, and build.py is the stage.
"""
