"""Runs of any data sets, codecs, metrics and judges: making, keeping and showing them."""
