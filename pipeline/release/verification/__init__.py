"""Checks that anyone can run on a downloaded release, or on another data set: is it complete and unchanged?"""
