"""The wire contract of UG-ICM, version 1."""
