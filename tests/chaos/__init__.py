"""Chaos: a real Ray cluster with NIXL under load, with its processes killed and frozen (`make chaos`)."""
