"""Measurements of the parts and of the whole; each prints one JSON document."""
