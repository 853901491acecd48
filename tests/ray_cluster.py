"""The one Ray cluster of a test session: small, without dashboard and metrics, on this host alone."""

from __future__ import annotations

import gc
import os
import tempfile
import warnings
from collections.abc import Iterator

import pytest

# Serve reads these when it is imported, which may be as early as the collection of the tests.
os.environ.update({"RAY_SERVE_USE_GRPC_BY_DEFAULT": "1", "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1"})

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    # Ray must not hide devices from an actor that reserves none.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.getcwd(),
}


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local cluster with 8 logical CPUs. Delete what you put into it: others come after you."""
    # A socket's path holds about 100 characters, so pytest's own long folders will not do.
    with (
        tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name, value in {**ENVIRONMENT, "RAY_TMPDIR": folder}.items():
            environment.setenv(name, value)
        environment.delenv("RAY_ADDRESS", raising=False)
        import ray

        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            num_cpus=8,
            object_store_memory=80 << 20,
            _system_config={"enable_metrics_collection": False},
        )
        yield
        ray.shutdown()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # Ray drops its daemons without waiting
            gc.collect()
