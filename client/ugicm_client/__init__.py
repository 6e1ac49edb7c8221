"""Talk to the three services from Python, and the ``ugicm`` command."""
