"""Codes pictures and shows them to judges, once each, on several processes."""
