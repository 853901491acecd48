"""An engine that is being drained: it takes nothing new, and says when nothing is left."""

from __future__ import annotations

from engine.engine import Engine
from engine.owner import OwnerKind
from protocol.errors import WorkerLeaving
from protocol.mail import Drained, EngineOutbox, Inbound, Outbound
from protocol.messages import Compute, Fetch, Prefill, Refused, Reserve, Withdrawn


class Farewell:
    """Not begun, in most lives, until the very end."""

    def __init__(self) -> None:
        self._begun = False
        self._told = False

    def begin(self) -> None:
        """From now on."""
        self._begun = True

    def refusal(self, mail: Inbound) -> Outbound | None:
        """The answer to new work; None for all else: what is here goes on, and its KV is still read."""
        code, why = WorkerLeaving.code, "the worker is being drained"
        match mail.frame if self._begun else None:
            case Compute(assignment) | Reserve(assignment) | Prefill(assignment):
                return Outbound(mail.peer, Refused(assignment.key, code, why))
            case Fetch(transfer):
                return Outbound(mail.peer, Withdrawn(transfer, code, why))
            case _:
                return None

    def words(self, engine: Engine) -> list[EngineOutbox]:
        """Drained, once, when nothing runs or waits, no reader has a lease and no KV is on its way here."""
        if not self._begun or self._told or engine.running or engine.waiting:
            return []
        if engine.pool.held(OwnerKind.PINNED, OwnerKind.DEST):
            return []
        self._told = True
        return [Drained()]
