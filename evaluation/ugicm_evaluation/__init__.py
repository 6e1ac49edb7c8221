"""Measures what codecs keep of pictures, for people and for models that look at them.

Datasets, codecs and judges (the models that look) are adapters behind one small protocol each;
metrics work on the arrays that judges return.
"""
