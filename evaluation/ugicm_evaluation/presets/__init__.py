"""The paper's measurements as configurations, with what they need and where to put it."""
