"""Models that look at pictures; each answers with one array."""
