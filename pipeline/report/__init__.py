"""Stage report: one HTML page on a whole run, and a folder of pictures beside it that it loads as they are looked at.

results.py reads what the stages left. overview/ turns it into figures (report.json) and charts, pairs/ into the list
of all pairs and the pictures of each, patch_strips.py into the patches that are shown, before_after.py into what the
network does. page.py puts all of it into templates/, and stage.py calls them in turn.
"""
