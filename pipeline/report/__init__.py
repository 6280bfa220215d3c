"""Stage report: one HTML page about a whole run, and a folder of pictures next to it that the page loads on demand.

results.py reads the results of the stages. overview/ turns them into figures (report.json) and charts, pairs/ into the
list of all pairs and their pictures, patch_strips.py into the patches that are shown, and before_after.py into examples
of the network. page.py fills templates/ with all this, and stage.py calls these modules in turn.
"""
