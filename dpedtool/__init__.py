"""From photo pairs of phone and DSLR to a data set and a trained network: `dpedtool --help` lists the commands.

`dpedtool.pipeline`, `dpedtool.dataset` and `dpedtool.training` are the folders of these names beside this one: setup.py
says so.
"""
