"""How a model's weights are kept."""

from __future__ import annotations

from protocol.errors import InvalidSpec

FORMATS = ("model", "int8")


def check_weights(wanted: str, dtype: str) -> None:
    """Raises InvalidSpec for a format that does not exist, or that `dtype` does not go with."""
    if wanted not in FORMATS:
        raise InvalidSpec(f"weights {wanted!r} are not offered: {' and '.join(FORMATS)} are", param="weights")
    if wanted == "int8" and dtype != "bfloat16":
        raise InvalidSpec(
            "weights: int8 cannot be had: it computes in bf16, and dtype is fp32 here; "
            "write `dtype: bf16` or `weights: model`",
            param="weights",
        )
