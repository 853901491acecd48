"""Builds the native kernels ahead of the first start: python -m engine.torch_runner.build_native"""

from __future__ import annotations

import sys

from engine.torch_runner.native.compiler import built_library
from protocol.errors import EngineFailed


def main() -> int:
    """Exit status 0 also where nothing can be built: the torch kernels run then."""
    try:
        print(f"native kernels: {built_library()}")
    except EngineFailed as error:
        print(f"no native kernels, so the slower torch ones will run: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
