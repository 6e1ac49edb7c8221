"""One thin adapter for each library and task; each is imported only where it is chosen."""
