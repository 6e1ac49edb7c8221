"""Checkpoints of published code, as models to train and to serve."""
