"""Links over real sockets: one bidirectional gRPC stream of msgpack envelopes per link.

Generic handlers carry plain bytes; there is no protobuf. Sessions, keep-alives, bounds and
greetings are those of SessionLink, the same that the simulation runs.
"""

from __future__ import annotations

import grpc
import grpc.aio

from protocol.clock import Clock
from protocol.errors import LinkClosed
from protocol.limits import Limits
from protocol.links.grpc_channel import BROKEN, AcceptedChannel, DialedChannel, GrpcContext
from protocol.links.handshake import LinkAcceptor, dial_over
from protocol.links.link import Link, LinkHandler
from protocol.links.session_link import SessionLink, max_envelope_bytes
from protocol.messages import Hello, WorkerAddress

SERVICE = "baton.Link"
METHOD = "Connect"

GrpcLink = SessionLink
"""A link is a session over a channel; only the channel is gRPC's."""


def channel_options(limits: Limits) -> list[tuple[str, int]]:
    """gRPC's settings, the same at both ends."""
    return [
        ("grpc.max_send_message_length", max_envelope_bytes(limits)),
        ("grpc.max_receive_message_length", max_envelope_bytes(limits)),
        # Each dial meets the peer afresh: no shared back-off, and never through a proxy.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    ]


SERVER_OPTIONS = [
    ("grpc.so_reuseport", 0),
    # A host that vanished leaves no stream behind that waits for its trailers to be taken.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


class GrpcDialer:
    """Opens links to workers over TCP."""

    def __init__(self, own: Hello, clock: Clock, limits: Limits) -> None:
        self._own = own
        self._clock = clock
        self._limits = limits

    async def dial(self, address: WorkerAddress) -> Link:
        """A link to that incarnation. Raises LinkClosed, Stale or WireError."""
        target = f"{address.host}:{address.port}"
        connection = grpc.aio.insecure_channel(target, options=channel_options(self._limits))
        connect: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = connection.stream_stream(
            f"/{SERVICE}/{METHOD}"
        )
        channel = DialedChannel(connection, connect())
        return await dial_over(channel, self._own, address.identity, self._clock, self._limits)


class GrpcLinkServer:
    """Accepts links over TCP, on this host alone unless told otherwise."""

    def __init__(
        self, own: Hello, clock: Clock, limits: Limits, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._own = own
        self._clock = clock
        self._limits = limits
        self._host = host
        self._port = port
        self._acceptor: LinkAcceptor | None = None
        self._server: grpc.aio.Server | None = None

    async def start(self, handler: LinkHandler) -> int:
        """Listens, and returns the port. Raises LinkClosed if the port is taken."""
        self._acceptor = LinkAcceptor(self._own, handler, self._clock, self._limits)
        self._server = grpc.aio.server(options=channel_options(self._limits) + SERVER_OPTIONS)
        connect: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(self._connect)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {METHOD: connect}),)
        )
        try:
            port = self._server.add_insecure_port(f"{self._host}:{self._port}")
        except RuntimeError as taken:
            raise LinkClosed(f"cannot listen on {self._host}:{self._port}") from taken
        await self._server.start()
        return port

    async def stop(self) -> None:
        """Stops listening, cancels the handlers and closes their links."""
        if self._acceptor is not None:
            await self._acceptor.stop()
        if self._server is not None:
            await self._server.stop(grace=self._limits.report_every_s)

    async def _connect(self, _requests: object, context: GrpcContext) -> None:
        channel = AcceptedChannel(context)
        try:
            # Sent with the first message instead, it would be sent twice if that message is cut short.
            await context.send_initial_metadata(())
            if self._acceptor is not None:
                self._acceptor.accept(channel)
                await channel.ended.wait()
        except BROKEN:
            pass  # the dialer left before it was greeted
        finally:
            channel.ended.set()
