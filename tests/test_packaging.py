"""The promises of the packaging: our names are ours, and the client side stays light."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

PACKAGES = (
    "cluster",
    "decode_worker",
    "engine",
    "gateway",
    "kv_transfer",
    "prefill_worker",
    "protocol",
    "router",
    "worker",
)

IMPORT_ALL_AND_PRINT_HEAVY = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
print(*sorted({"torch", "transformers", "nixl", "ray"} & set(sys.modules)))
"""


@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_distribution_ships_our_package(name: str) -> None:
    """A top-level package with a plain name belongs to Baton alone, so nothing is silently overlaid."""
    assert set(importlib.metadata.packages_distributions()[name]) == {"baton-serve"}


@pytest.mark.parametrize("name", PACKAGES)
def test_our_package_hides_no_standard_module(name: str) -> None:
    """Ray puts the working directory before the standard library, so a shared name would break it."""
    assert name not in sys.stdlib_module_names


@pytest.mark.parametrize("name", ["protocol", "router", "gateway"])
def test_client_side_loads_no_tensor_library(name: str) -> None:
    """Every module of the client side imports without torch, transformers, nixl or ray, even indirectly."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL_AND_PRINT_HEAVY, name],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
