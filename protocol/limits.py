"""Every bound in one frozen value. None is infinite."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one cluster; the spec may change them, and nothing else may."""

    max_body_bytes: int = 8 << 20
    max_header_bytes: int = 16 << 10
    max_url_bytes: int = 8 << 10
    body_stall_s: float = 10.0
    """A client that sends no part of its body for this long is refused."""
    max_frame_bytes: int = 16 << 20
    max_link_backlog: int = 4096
    """Frames that wait for a peer before it counts as lost."""
    max_choices: int = 8
    max_prompts: int = 64
    """Prompts in one completions call."""
    max_logprobs: int = 20
    max_stops: int = 4
    max_stop_chars: int = 64
    max_logit_bias: int = 300
    max_tools: int = 256
    max_messages: int = 4096
    max_open_requests: int = 1024
    """Requests inside one gateway; one more is refused at once."""
    default_timeout_s: float = 600.0
    max_timeout_s: float = 3600.0
    max_place_wait_s: float = 60.0
    """Waiting for a place, then 503 with Retry-After."""
    max_reserved_wait_s: float = 10.0
    """A decode slot is held this long for a prefill queue, no longer."""
    max_replans: int = 3
    """Lost attempts after which a request is tried again; deaths of engines that the worker itself
    announces have a bound of their own."""
    max_deaths: int = 8
    """Announced deaths of engines that one request outlives: it is rarely the cause."""
    poison_s: float = 600.0
    """A request that ended engines is refused for this long."""
    drain_s: float = 30.0
    """A worker that leaves finishes what it has within this time; the rest goes on elsewhere."""
    frozen_s: float = 3.0
    """An engine that says nothing for this long is frozen, unless it has begun a long step."""
    frozen_steps: float = 4.0
    """So many times its predicted seconds a step may take."""
    peer_deadline_s: float = 5.0
    """An answer to a command: admitted or refused."""
    report_every_s: float = 0.25
    """Load reports and keep-alives, also when idle."""
    silence_s: float = 3.0
    """A link without a frame for this long is closed."""
    lease_s: float = 10.0
    """A prefill worker keeps published KV this long after the last renewal."""
    renew_every_s: float = 2.0
    read_deadline_s: float = 10.0
    """One KV read; then its blocks are quarantined and the prompt is recomputed."""
    quarantine_s: float = 30.0
    """Then the peer's agent is destroyed: the only fence that NIXL has."""
    max_pinned_share: float = 0.4
    """Share of a prefill worker's blocks that transfers may pin."""
    post_bytes: int = 4 << 20
    """Bytes of one transfer post; on one host the post copies them."""
    reader_stall_s: float = 30.0
    """A client that reads nothing for this long is disconnected."""

    def patience_s(self, begun_s: float) -> float:
        """Silence after which an engine is frozen that has begun steps of `begun_s` predicted seconds."""
        return max(self.frozen_s, self.frozen_steps * begun_s)
