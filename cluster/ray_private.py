"""Every use of Ray that its documentation does not promise, in one place.

Verified with ray 2.60; tests/cluster/test_ray_private.py is the contract. Nothing here imports ray
before it is called: Serve reads its environment when it is imported.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.spec import GatewaySpec
from protocol.errors import BatonError

if TYPE_CHECKING:
    from ray.serve import Deployment
    from starlette.types import ASGIApp, Receive, Scope, Send

VERIFIED = "2.60."

RETRY = "conn-failure empty-response\n    option http-buffer-request"
"""A gateway that died before the first byte of its answer: another one is asked, which is safe as no
client has heard anything. Not a time-out: a slow answer would be computed twice. The body is waited for,
as a request that was sent in part is not sent again. Serve writes this into HAProxy's defaults as it is."""

LOST_ANSWERS = tuple(
    f"http-error status {status} content-type application/json hdr Retry-After 1 string "
    '\'{"error":{"message":"the gateway was lost before it answered","type":"service_unavailable",'
    '"param":null,"code":"gateway_lost"}}\''
    for status in (502, 503, 504)
)
"""What HAProxy says when it has no gateway left to ask. Serve's error file says 500 for all of these."""


class UnsupportedRay(BatonError):
    """Another Ray than the one that the private parts were verified with."""


def require_verified_ray() -> None:
    """Raises UnsupportedRay if the installed version is another one."""
    import ray

    if not ray.__version__.startswith(VERIFIED):
        raise UnsupportedRay(f"Baton needs ray {VERIFIED}*, but {ray.__version__} is installed")


def serve_environment(gateway: GatewaySpec, folder: Path, free_port: Callable[[str], int]) -> dict[str, str]:
    """Variables that Serve's processes read on import. `folder`: for sockets and generated files."""
    alone = gateway.replicas == 1
    return {
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
        # One loop per replica. A second one would hand every token from thread to thread, through a
        # queue without bound that hides from the door that a client reads nothing.
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.2",
        "RAY_SERVE_PORT_QUARANTINE_S": "0",
        **(_direct_ingress(gateway.port) if alone else _haproxy(folder, free_port)),
    }


def _direct_ingress(port: int) -> dict[str, str]:
    """The one gateway replica listens on the port itself. The range is half open, so exactly this port
    is in it; a new gateway takes it over."""
    return {
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(port),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(port + 1),
    }


def _haproxy(folder: Path, free_port: Callable[[str], int]) -> dict[str, str]:
    """HAProxy listens on the port and balances over gateways that listen on 30000 and up. Its files
    and side ports are this run's own, or two clusters on one host would share them."""
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": "2",
        "RAY_SERVE_HAPROXY_RETRY_ON": RETRY,
        "RAY_SERVE_HAPROXY_BALANCE_ALGORITHM": "\n    ".join(("leastconn", *LOST_ANSWERS)),
        # Bytes. Only what fits in one buffer can be sent again.
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": "131072",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "5",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port("127.0.0.1")),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port("127.0.0.1")),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy" / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "haproxy" / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder / "haproxy"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "haproxy" / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "haproxy" / "metrics.sock"),
    }


def keep_ray_on_loopback() -> None:
    """Makes `ray.init` of a local cluster use 127.0.0.1, as Ray does on platforms where it forms no
    clusters. Otherwise its daemons listen on every interface."""
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = False


def dead_daemons() -> tuple[str, ...]:
    """Names of Ray's daemons that this process started and that have ended."""
    from ray._private import worker

    node = worker._global_node
    if node is None:
        return ()
    return tuple(str(name) for name, _ in node.dead_processes())


def keep_replica_on_loopback() -> None:
    """Makes the server for calls between Serve replicas listen on 127.0.0.1. To be called in a
    replica's constructor, before that server starts; Baton never calls it."""
    from ray.serve._private import replica

    name = "add_port_to_grpc_server"
    add_port: Callable[[object, str], int] = getattr(replica, name)
    setattr(replica, name, lambda server, _address: add_port(server, "127.0.0.1:0"))


def end_on_sigterm(begin: Callable[[], object]) -> None:
    """Makes SIGTERM call `begin` in the main thread, where it ends a Ray worker at once otherwise. To be
    called in a replica's constructor. That runs in another thread, which may not install handlers, so
    what Ray's own handler calls is replaced."""
    from ray._private import worker

    name = "raise_sys_exit_with_custom_error_message"
    getattr(worker, name)
    setattr(worker, name, lambda *_message, **_code: begin())


def let_gateway_take_its_port_over() -> None:
    """Makes direct ingress listen with SO_REUSEADDR. To be called in the gateway's constructor.

    Without it a gateway that follows a killed one cannot bind while connections of the first linger
    in the kernel, and Serve then bars the port for ever.
    """
    from ray.serve._private import http_util, replica

    name = "start_asgi_http_server"
    start: Callable[..., Awaitable[object]] = getattr(replica, name)
    setattr(replica, name, lambda *args, **options: start(*args, **{**options, "enable_so_reuseport": True}))
    # Not SO_REUSEPORT: two gateways must never share a port unnoticed.
    http_util.set_socket_reuse_port = _reuse_address


def let_door_mind_requests() -> None:
    """Takes out the middleware by which Serve gives every answer an x-request-id beside the door's own, and
    the tasks by which it watches each client beside the door. To be called in the gateway's constructor."""
    from ray.serve._private import http_util

    name = "RequestIdMiddleware"
    getattr(http_util, name)
    setattr(http_util, name, _unwatched)


UNWATCHED = (b"x-request-disconnect-disabled", b"?1")
"""Tells Serve that it need not notice when this client leaves. Of equal names it takes the last."""


def _unwatched(app: ASGIApp) -> ASGIApp:
    """The app for calls that Serve leaves alone. A function, since uvicorn takes a bound method for another
    protocol."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["headers"] = [*scope["headers"], UNWATCHED]
        await app(scope, receive, send)

    return serve


def _reuse_address(sock: socket.socket) -> bool:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return True


def with_version(deployment: Deployment, version: str) -> Deployment:
    """The deployment under a version of our own. Serve would draw one at random, so that deploying
    again would always replace all replicas, also when only their number changes."""
    return deployment.options(version=version, _internal=True)
