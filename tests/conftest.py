"""What every test shares: how hypothesis searches."""

from __future__ import annotations

import os

from hypothesis import settings

# A slow machine is no failure; in CI equal code gives equal examples, so a red run can be repeated.
settings.register_profile("baton", deadline=None)
settings.register_profile("baton-ci", settings.get_profile("baton"), derandomize=True, print_blob=True)
settings.load_profile("baton-ci" if os.environ.get("CI") else "baton")
