"""The model that ships with Baton."""

from __future__ import annotations

from pathlib import Path

DEFAULT_MODEL = str(Path(__file__).resolve().parent.parent / "models" / "baton-tiny")
"""Its folder, found beside the packages: in a clone, and where an editable install points to."""
