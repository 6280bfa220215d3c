"""Weights on disk: our files, those of others, ONNX, and the card beside them."""
