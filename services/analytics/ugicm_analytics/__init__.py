"""The service that runs detectors on the machine view."""
