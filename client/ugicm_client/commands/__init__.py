"""The ``ugicm`` command: one module for each subcommand.

These modules import nothing heavy at their top, so that ``ugicm --help`` answers at once.
"""
