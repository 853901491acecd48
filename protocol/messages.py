"""Every frame that travels on a link: one closed union, decoded once at the edge.

Gateway to worker: Compute, Reserve, Prefill, Join, Cancel, KvDumpWanted.
Worker to gateway: Admitted, Refused, Failed, StepReport, KvEvents, Leaving, Died.
Reader of KV to its source: Attach, Fetch, Renew, Release. Source to reader: Attached, Published, Withdrawn.
Both ways, first: Hello.
Every verb is idempotent; whatever is unknown, late or doubled is counted and ignored.
"""

from __future__ import annotations

from enum import Enum

from protocol.ids import AttemptKey, BlockHash, TransferId, WorkerId, WorkerIdentity
from protocol.kv_events import KvDumpWanted, KvEvents
from protocol.load_report import LoadReport, OwnLoad
from protocol.request import Assignment
from protocol.stamp import Stamp
from protocol.wire_struct import Struct

WIRE_VERSION = 3
"""1: first version. 2: Leaving, Died, LoadReport.begun_s, Assignment.alone. 3: KvEvents, KvDumpWanted, Fetch,
prefixes to pull, and what the planner learns from in load reports."""


class FinishReason(Enum):
    """Why a sequence ended, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"


class WorkerAddress(Struct):
    """Where a worker's link server listens, and which life of it is meant."""

    identity: WorkerIdentity
    host: str
    port: int


class Hello(Struct, tag=True):
    """First frame on every link, from both ends."""

    wire_version: int
    role: str
    """What the speaker is: "gateway" or "worker"."""
    name: str
    """Gateway or worker id."""
    incarnation: str


class Prefix(Struct):
    """Where the start of a prompt is to be pulled from before the rest is computed. It only saves time: what
    the source lacks, or what does not come, is computed."""

    transfer: TransferId
    source: WorkerAddress
    blocks: int
    """Leading full blocks that the source is believed to hold."""


class Compute(Struct, tag=True):
    """Plan without a prefill worker: compute the prompt and decode it here."""

    assignment: Assignment
    prefix: Prefix | None = None


class Reserve(Struct, tag=True):
    """Hold a slot for the prompt's blocks and pull them from `source` under `transfer`."""

    assignment: Assignment
    transfer: TransferId
    source: WorkerAddress


class Prefill(Struct, tag=True):
    """Compute the prompt, publish its KV under `transfer`, sample the first token."""

    assignment: Assignment
    transfer: TransferId
    prefix: Prefix | None = None


class Join(Struct, tag=True):
    """The first token: go on from it once all KV is here."""

    key: AttemptKey
    token: int


class Cancel(Struct, tag=True):
    """Forget this attempt and give its blocks back. Never answered."""

    key: AttemptKey


class Admitted(Struct, tag=True):
    """The worker holds a place for this attempt."""

    key: AttemptKey
    cached_tokens: int
    """Leading tokens whose KV was here already."""


class Refused(Struct, tag=True):
    """No place, or not possible here. Nothing is held."""

    key: AttemptKey
    code: str
    """A code of the error tree."""
    message: str


class Failed(Struct, tag=True):
    """An admitted attempt ended without finishing. Nothing is held."""

    key: AttemptKey
    code: str
    message: str


class TokenLogprobs(Struct):
    """Log-probabilities at one position, after temperature and penalties are left out."""

    chosen: float
    top: tuple[tuple[int, float], ...]
    """(token id, log-probability), likeliest first."""


class TokenDelta(Struct):
    """New tokens of one attempt."""

    key: AttemptKey
    first_index: int
    """Position of tokens[0] among all generated tokens of the request."""
    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprobs, ...] = ()
    finish: FinishReason | None = None
    cached_tokens: int = 0
    """Prompt tokens that were not computed for this attempt (first delta of a worker)."""
    stamps: tuple[Stamp, ...] = ()


class StepReport(Struct, tag=True):
    """One frame per engine step and gateway, or for a few steps that are over in two milliseconds; also every
    250 ms when idle."""

    deltas: tuple[TokenDelta, ...]
    load: LoadReport | None = None
    """At most every 50 ms: counting blocks by owner is not free."""
    own: OwnLoad | None = None
    """With `load`: what of it is this gateway's."""


class Leaving(Struct, tag=True):
    """The worker is being drained: it refuses new work, and the end of this link is planned."""


class Died(Struct, tag=True):
    """The worker's engine ended against its will; the link ends after this."""

    suspects: tuple[AttemptKey, ...]
    """Every attempt, of any gateway, in the steps that were running."""


class Poisonous(Struct, tag=True):
    """Engines died of a request. From a gateway to its workers, from each of them to its other gateways."""

    digest: bytes
    """What all requests like it have in common, as gateways compute it."""
    for_s: float
    """Seconds for which they are to be refused."""


class Attach(Struct, tag=True):
    """The reader asks for the KV of `transfer`, from block `first_block` of the prompt on."""

    transfer: TransferId
    reader: WorkerIdentity
    fingerprint: str
    first_block: int


class Fetch(Struct, tag=True):
    """The reader asks for cached blocks: Attached and one last Published answer it, with the longest run from
    `first_block` on that the source holds, perhaps none. They are pinned like those of any transfer."""

    transfer: TransferId
    reader: WorkerIdentity
    fingerprint: str
    first_block: int
    """Index in the prompt of hashes[0]."""
    hashes: tuple[BlockHash, ...]


class SourceFacts(Struct):
    """What a reader needs to address the source's memory."""

    identity: WorkerIdentity
    agent: bytes
    """Opaque metadata of the source's transport agent."""
    arena_address: int
    block_bytes: int
    num_blocks: int
    generations_address: int
    """Of an int64 array of num_blocks, in host memory."""
    device: int | None = None
    """Index of the CUDA device that holds the arena, as the source counts; None: host memory."""


class Attached(Struct, tag=True):
    """The source knows the transfer, or will: Published frames follow."""

    transfer: TransferId
    source: SourceFacts
    lease_s: float


class Published(Struct, tag=True):
    """Blocks that are complete on the source, in prompt order."""

    transfer: TransferId
    first_block: int
    """Index in the prompt of blocks[0]."""
    blocks: tuple[int, ...]
    generations: tuple[int, ...]
    last: bool
    """No more will follow."""


class Renew(Struct, tag=True):
    """The reader still wants these transfers."""

    transfers: tuple[TransferId, ...]


class Release(Struct, tag=True):
    """The reader is done with this transfer, one way or another."""

    transfer: TransferId


class Withdrawn(Struct, tag=True):
    """The source will not, or no longer, serve this transfer."""

    transfer: TransferId
    code: str
    message: str


Frame = (
    Hello
    | Compute
    | Reserve
    | Prefill
    | Join
    | Cancel
    | Admitted
    | Refused
    | Failed
    | StepReport
    | KvEvents
    | KvDumpWanted
    | Leaving
    | Died
    | Poisonous
    | Attach
    | Fetch
    | Attached
    | Published
    | Renew
    | Release
    | Withdrawn
)


class WorkerRecord(Struct):
    """One line of the directory."""

    address: WorkerAddress
    role: str
    """The pool: "prefill" or "decode"."""
    model: str
    max_context: int
    total_blocks: int
    block_size: int
    fingerprint: str

    @property
    def worker(self) -> WorkerId:
        """Which worker this is, whichever its incarnation."""
        return self.address.identity.worker
