"""Moves KV blocks between workers and tiers: leases, slots, transports, layouts and fingerprints."""
