"""Detectors, classifiers and segmenters behind one protocol."""
