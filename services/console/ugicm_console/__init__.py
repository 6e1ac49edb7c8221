"""The operator's page over the services: it holds no codec, no weights and no frames."""
