"""Weights on disk: dpedtool's files, files of other projects, ONNX, and the model card."""
