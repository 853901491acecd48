"""What an engine process is told, as one JSON argument."""

from __future__ import annotations

import msgspec

from cluster.spec import Dtype, KvDtype, MockSpec, SchedulingSpec, Weights
from protocol.errors import InvalidSpec
from protocol.ids import WorkerIdentity
from protocol.limits import Limits


class EngineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One life of one engine."""

    role: str
    """"prefill" or "decode"."""
    identity: WorkerIdentity
    model: str
    """Folder, or name on the hub."""
    name: str
    """The served name."""
    dtype: Dtype
    device: str
    weights: Weights
    kv_dtype: KvDtype
    block_size: int
    kv_bytes: int
    threads: int
    mock: MockSpec | None
    """None: the model is loaded and computed."""
    scheduling: SchedulingSpec
    limits: Limits

    def to_json(self) -> str:
        """For the command line."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> EngineConfig:
        """From the command line. Raises InvalidSpec."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError as wrong:
            raise InvalidSpec(f"not an engine's configuration: {wrong}") from wrong
