"""Removes data on people and devices from photos, and checks that no file of a release contains any."""
