"""Frozen networks that say what a picture means, as a vector in CLIP's image space."""
