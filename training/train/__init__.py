"""Stage train: the network of one phone, its losses and its loop."""
