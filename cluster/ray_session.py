"""Ray and Serve on this machine, for as long as `baton up` runs.

Ray's daemons ask the kernel to die with the thread that started them, so a session lives in the main
thread. Serve reads its environment when it is imported, so ray is imported here, late.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cluster.deployments import APP
from cluster.in_time import in_time
from cluster.preflight import free_port
from cluster.ray_private import dead_daemons, keep_ray_on_loopback, require_verified_ray, serve_environment
from cluster.run_folder import RunFolder
from cluster.run_processes import RUN_ID_VARIABLE
from cluster.spare_cores import leave_decode_cores
from cluster.spec import PoolsSpec, Spec
from cluster.start_failure import find_failure, last_line
from protocol.errors import BatonError

OBJECT_STORE_BYTES = 80 << 20
"""The smallest that Ray takes: nothing of ours goes through it."""
SERVE_STOP_S = 3.5
"""Answers that are being streamed may go on for this long; then they are cut."""

RAY_STOP_S = 3.0
STATUS_S = 10.0


class RayFailed(BatonError):
    """Ray did not start, or has broken down."""


def on_one_machine(spec: Spec) -> Spec:
    """The spec without what places workers on nodes: there is only this one."""
    prefill, decode = (
        replace(pool, resources={}, labels={}) for pool in (spec.pools.prefill, spec.pools.decode)
    )
    return replace(spec, pools=PoolsSpec(prefill, decode))


def _running(replicas: Mapping[Any, int]) -> int:
    """Serve's keys are states or their names; a state equals its name."""
    return replicas.get("RUNNING", 0)


def _ended(end: Callable[[], None], within_s: float) -> bool:
    try:
        in_time(end, within_s)
    except Exception as hangs:
        logging.getLogger(__name__).warning("%s: %r", end, hangs)
        return False
    return True


class RaySession:
    """One local Ray cluster with one Serve application."""

    def __init__(self, spec: Spec, folder: RunFolder, run_id: str) -> None:
        self._spec = spec
        self._folder = folder
        self._run_id = run_id

    def start_ray(self) -> None:
        """Starts Ray's daemons. Raises UnsupportedRay or RayFailed."""
        os.environ.pop("RAY_ADDRESS", None)
        os.environ.update(self._environment())
        require_verified_ray()
        keep_ray_on_loopback()
        leave_decode_cores(self._spec)
        import ray

        try:
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                num_cpus=1,
                object_store_memory=OBJECT_STORE_BYTES,
                _system_config={"enable_metrics_collection": False},
            )
        except Exception as wrong:
            raise RayFailed(f"Ray did not start: {' '.join(str(wrong).split())}") from wrong

    def deploy(self) -> None:
        """Starts Serve and asks it for the application; returns before its replicas are there."""
        from ray import serve

        from cluster.directories import open_directory

        open_directory(self._spec)  # so that it starts beside Serve, and no worker waits for it
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        gateway = self._spec.gateway
        # Behind direct ingress Serve keeps one proxy of its own, which nobody needs to find.
        port = gateway.port if gateway.replicas > 1 else free_port("127.0.0.1")
        serve.start(proxy_location="HeadOnly", http_options={"host": gateway.host, "port": port})
        self._run()

    def change(self, spec: Spec) -> None:
        """Asks Serve for a changed spec (spec_change.py): it starts and drains workers, or replaces them
        one after another. Returns before that is done. Raises RayFailed."""
        from ray.exceptions import RayError

        self._spec = spec
        try:
            in_time(self._run, STATUS_S)
        except RayError as gone:
            raise RayFailed(f"Serve's controller does not answer: {type(gone).__name__}") from gone

    def _run(self) -> None:
        from ray import serve

        from cluster.serve_app import build_app

        app = build_app(on_one_machine(self._spec), str(self._folder.logs))
        serve.run_many(
            [serve.RunTarget(app, name=APP, route_prefix="/", logging_config={"enable_access_log": False})],
            wait_for_ingress_deployment_creation=False,
            wait_for_applications_running=False,
        )

    def replicas(self) -> dict[str, int]:
        """Running replicas by deployment. Raises the BatonError of a replica that could not start,
        RayFailed if Ray is gone, DeadlineExceeded if Serve is busy."""
        from ray import serve
        from ray.exceptions import RayError
        from ray.serve.schema import ApplicationStatus

        self._check_daemons()
        try:
            app = in_time(serve.status, STATUS_S).applications.get(APP)
        except RayError as gone:
            raise RayFailed(f"Serve's controller does not answer: {type(gone).__name__}") from gone
        if app is None:
            return {}
        for deployment in app.deployments.values():
            if deployment.status_trigger == "REPLICA_STARTUP_FAILED":
                raise find_failure(deployment.message) or last_line(deployment.message)
        if app.status == ApplicationStatus.DEPLOY_FAILED:
            raise last_line(app.message)
        return {name: _running(one.replica_states) for name, one in app.deployments.items()}

    def stop(self) -> bool:
        """Ends the application, then Serve, then Ray, within SERVE_STOP_S and RAY_STOP_S; never raises.
        False if Ray hangs. Whatever is left is for `end_processes`."""
        import ray
        from ray import serve

        if not ray.is_initialized():
            return True
        _ended(serve.shutdown, SERVE_STOP_S)
        return _ended(ray.shutdown, RAY_STOP_S)

    def _check_daemons(self) -> None:
        """Without one of Ray's daemons nothing would be placed or mended any more."""
        dead = dead_daemons()
        if dead:
            raise RayFailed(f"Ray's {dead[0]} ended; its logs are in {self._folder.path}/ray")

    def _environment(self) -> dict[str, str]:
        return {
            RUN_ID_VARIABLE: self._run_id,
            "RAY_TMPDIR": str(self._folder.path),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Whoever can reach Ray can run code, so even on one machine it asks for this run's secret.
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            # Ray's workers give way to all else, but ours are the service itself.
            "RAY_worker_niceness": "0",
            # Ray must not hide devices from a worker that it reserves none for.
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            **serve_environment(self._spec.gateway, self._folder.path, free_port),
        }
