"""Whole photos through the network: exactly, in stripes of rows, in as much memory as one allows."""
