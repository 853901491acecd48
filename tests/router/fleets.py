"""Workers for router tests, without a gateway."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from protocol.block_hash import chain_root, hash_chain
from protocol.ids import AttemptKey, Incarnation, RequestId, WorkerId, WorkerIdentity
from protocol.kv_events import Cleared, KvEvents, Stored, packed_keys
from protocol.load_report import LoadReport, OwnLoad
from protocol.messages import WorkerAddress, WorkerRecord
from router.ask import Ask
from router.block_keys import chain_keys
from router.desk import PROVEN, Desk
from router.joint_router import JointRouter
from router.outlook import Outlook
from router.own_work import Booking
from router.prefix_index import IndexLimits
from router.slo import Slo

BLOCK = 16
STEP_TOKENS = 512
SMALL_INDEX = IndexLimits(max_blocks=1 << 16, max_workers=64, max_sets=1 << 12)
NOBODY: frozenset[WorkerIdentity] = frozenset()
NOTHING = OwnLoad(0, 0)


def identity(name: str, life: str = "1") -> WorkerIdentity:
    """One life of a worker."""
    return WorkerIdentity(WorkerId(name), Incarnation(f"{name}.{life}"))


def record(name: str, *, total_blocks: int = 1000, life: str = "1") -> WorkerRecord:
    """Names that begin with p are prefill workers."""
    role = "prefill" if name.startswith("p") else "decode"
    return WorkerRecord(
        WorkerAddress(identity(name, life), "h", 1), role, "m", 4096, total_blocks, BLOCK, "f"
    )


def load(
    *, queued: int = 0, running: int = 0, free: int = 1000, reserved: int = 0, waiting: int = 0, kv: int = 0
) -> LoadReport:
    """What a worker says."""
    return LoadReport(
        running=running,
        waiting=waiting,
        queued_tokens=queued,
        total_blocks=1000,
        free_blocks=free,
        held_blocks=(),
        steps=1,
        step_s=0.01,
        prefill_tokens_per_s=1000.0,
        reserved=reserved,
        step_tokens=STEP_TOKENS,
        kv_tokens=kv,
    )


class RouterScene:
    """A router and the desks of its workers, by name."""

    def __init__(self, *names: str, local: bool = True, slo: Slo | None = None, proven: bool = True) -> None:
        """`proven`: they have answered before."""
        self.outlook = Outlook(SMALL_INDEX)
        self.router = JointRouter(self.outlook, slo or Slo(), 10.0, local=local)
        self.desks: dict[str, Desk] = {}
        self._numbers = itertools.count()
        for name in names:
            self.link(name, proven=proven)

    def link(self, name: str, *, proven: bool = True, total_blocks: int = 1000) -> Desk:
        """One more worker that has said that it is idle."""
        desk = self.desks[name] = self.outlook.join(record(name, total_blocks=total_blocks))
        desk.heard = PROVEN if proven else 0
        desk.hear(load(), NOTHING)
        return desk

    def send(self, name: str, prompt: int) -> AttemptKey:
        """An attempt that this gateway sends there, with so much to compute."""
        key = AttemptKey(RequestId(f"sent-{next(self._numbers)}"), 1)
        self.desks[name].open(key, Booking(prompt, prompt))
        return key

    def holds(self, name: str, tokens: Iterable[int], blocks: int) -> None:
        """The worker says that it holds the first blocks of a prompt."""
        hashes = hash_chain(chain_root(b"f", b""), tuple(tokens), BLOCK)[:blocks]
        events = (Cleared(), Stored(packed_keys(hashes)))
        self.outlook.apply(KvEvents(self.desks[name].identity, 0, events))

    def best(self, ask: Ask) -> tuple[str, str | None]:
        """Decode and prefill worker of the first plan."""
        plan = self.router.plans(ask, NOBODY)[0]
        return plan.decode.worker, plan.prefill.worker if plan.prefill else None


def ask(tokens: int = 100, max_tokens: int = 100, seed: int = 1, prompt: range | None = None) -> Ask:
    """A request for a prompt, by default one that nobody has seen."""
    chain = hash_chain(chain_root(b"f", b""), prompt if prompt is not None else range(tokens), BLOCK)
    count = len(prompt) if prompt is not None else tokens
    keys = chain_keys(chain[: (count - 1) // BLOCK])
    return Ask(count, count + max_tokens, keys, BLOCK, seed)
