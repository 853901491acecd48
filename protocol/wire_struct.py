"""The one way wire data is declared: frozen, slotted, closed to unknown fields."""

from __future__ import annotations

from typing import dataclass_transform

import msgspec


# The decorator tells the type checker what it cannot see: that frozen is inherited.
@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Immutable value that travels as a msgpack array. Equality and hash by value."""
