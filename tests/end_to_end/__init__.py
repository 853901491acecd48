"""Real processes, real links, real NIXL: everything but Ray."""
