"""Everything a door is made of."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.door.call_log import CallLog
from gateway.door.model_card import ModelCard
from gateway.door.sources import Sources
from gateway.door.tenant import Tenant
from gateway.generator import FleetView, Generator
from gateway.logbook import Logbook
from gateway.metrics import GatewayMetrics
from gateway.text.model_text import ModelText
from protocol.clock import Clock
from protocol.executor import Executor
from protocol.limits import Limits


@dataclass(frozen=True, slots=True)
class DoorParts:
    """Handed over by the wiring; shared by all endpoints."""

    generator: Generator
    fleet: FleetView
    card: ModelCard
    text: ModelText
    limits: Limits
    clock: Clock
    executor: Executor
    """Tokenizing and templates run here, off the event loop."""
    sources: Sources
    metrics: GatewayMetrics
    tenant: Tenant
    calls: CallLog
    logbook: Logbook
    """What the generator remembers of sequences."""
