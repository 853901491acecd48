"""The contract with the parts of Ray that are not documented: a new Ray is checked here first."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from cluster.ray_private import (
    UNWATCHED,
    UnsupportedRay,
    let_door_mind_requests,
    require_verified_ray,
    serve_environment,
    with_version,
)
from cluster.spec import GatewaySpec

PRINT_CONSTANTS = """
import json, sys
from ray.serve._private import constants
print(json.dumps({name: getattr(constants, name) for name in json.loads(sys.argv[1])}))
"""


def as_written(value: object) -> str:
    """How a constant would be set."""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def understood(environment: dict[str, str]) -> dict[str, object]:
    """What Serve makes of the variables, by the names of its constants."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_CONSTANTS, json.dumps(list(environment))],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("replicas", [1, 2])
def test_serve_understands_every_variable(replicas: int) -> None:
    """Each variable that we set has a constant of its name, with the value that we meant."""
    gateway = GatewaySpec(port=8123, replicas=replicas)
    wanted = serve_environment(gateway, Path("/run"), lambda _host: 9999)
    for name, value in understood(wanted).items():
        assert as_written(value) == wanted[name], name


def test_one_port_is_in_the_range_of_direct_ingress() -> None:
    """Serve hands out ports from a range that is open at its end, so ours is the only one."""
    from ray.serve._private.node_port_manager import PortAllocator

    allocator = PortAllocator(8123, 8124, "HTTP", "node")
    assert allocator.allocate("first") == 8123
    with pytest.raises(Exception, match="No available ports"):
        allocator.allocate("second")


def test_patched_names_exist() -> None:
    """The names that are replaced are there and are used where we think."""
    from ray._private import ray_constants, services
    from ray.serve._private import http_util, replica

    assert ray_constants.ENABLE_RAY_CLUSTER is True
    assert "ray_constants.ENABLE_RAY_CLUSTER" in inspect.getsource(services.get_node_ip_address)
    assert "    set_socket_reuse_port(sock)" in inspect.getsource(http_util.start_asgi_http_server)
    assert "[Middleware(RequestIdMiddleware)]" in inspect.getsource(http_util._apply_middlewares)
    assert "await start_asgi_http_server(" in inspect.getsource(replica)
    assert 'add_port_to_grpc_server(self._server, "[::]:0")' in inspect.getsource(replica)


def test_own_version_reaches_serve() -> None:
    """Serve takes a deployment's version over where there is one, and so does the bound application."""
    from ray import serve
    from ray.serve._private import client

    given = with_version(serve.deployment()(type("Nothing", (), {})), "1")
    assert given.version == "1"
    assert given.bind()._bound_deployment.version == "1"
    assert "version=deployment._version or get_random_string()" in inspect.getsource(client)


def test_other_ray_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ray that this was not verified with is refused by version, before anything starts."""
    import ray

    require_verified_ray()
    monkeypatch.setattr(ray, "__version__", "2.61.0")
    with pytest.raises(UnsupportedRay, match=r"2\.61\.0 is installed"):
        require_verified_ray()


class Ingress:
    """Serve's application is a bound method."""

    async def serve(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """An answer without a name."""
        await send({"type": "http.response.start", "status": 200, "headers": []})


def test_serve_leaves_watching_to_the_door() -> None:
    """It knows the header that every call is given, whatever the client sent by that name."""
    from ray.serve._private import http_util, replica

    assert http_util.parse_disconnect_disabled_header(dict([(UNWATCHED[0], b"?0"), UNWATCHED]))
    ingress = inspect.getsource(replica.Replica._direct_ingress_asgi)
    assert 'headers = dict(scope["headers"])' in ingress
    assert "if receive_task is None and request_timeout_s is None:" in ingress


async def test_no_answer_is_named_by_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of Serve's middlewares adds no header, and uvicorn takes it for ASGI 3."""
    from ray.serve._private import http_util

    monkeypatch.setattr(http_util, "RequestIdMiddleware", http_util.RequestIdMiddleware)
    let_door_mind_requests()
    app = http_util._apply_middlewares(Ingress().serve, [])
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    await app({"type": "http", "headers": []}, receive, send)
    assert sent == [{"type": "http.response.start", "status": 200, "headers": []}]
    config = uvicorn.Config(lambda: app, factory=True)
    config.load()
    assert config.interface == "asgi3"
