"""What every test shares: how hypothesis searches, and the session's servers."""

from __future__ import annotations

import os

from hypothesis import settings

from tests.ray_cluster import ray_cluster
from tests.redis_server import redis_url

__all__ = ["ray_cluster", "redis_url"]

# A slow machine is no failure; in CI equal code gives equal examples, so a red run can be repeated.
settings.register_profile("baton", deadline=None)
settings.register_profile("baton-ci", settings.get_profile("baton"), derandomize=True, print_blob=True)
settings.load_profile("baton-ci" if os.environ.get("CI") else "baton")
