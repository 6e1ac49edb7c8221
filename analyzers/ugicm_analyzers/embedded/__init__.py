"""Analyzers that come inside OpenCV 4 and need no download."""
