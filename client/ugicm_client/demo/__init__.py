"""The whole system on one machine, on real photographs, in one command."""
