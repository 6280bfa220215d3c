"""The enhancement network: model, losses, metrics, training and evaluation."""
