"""The one document that describes a cluster, as values. How it is read: cluster/spec_reader.py.

The `Meta` of a field bounds its value; its description and example end up in error messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from cluster.byte_size import ByteSize
from cluster.default_model import DEFAULT_MODEL
from protocol.limits import Limits

DEFAULT_KV_MEMORY = ByteSize(256 << 20)
DEFAULT_LIMITS = Limits()

Dtype = Literal["auto", "fp32", "bf16"]
Weights = Literal["model", "int8"]
KvDtype = Literal["model", "int8"]
EngineKind = Literal["torch", "modelled"]
DEVICE = r"cpu|cuda(:[0-9]{1,3})?"
DEVICES = '"cpu", "cuda" or "cuda:N"'
Count = Annotated[int, Meta(ge=0, le=4096, description="a number of processes", examples=[1])]
Positive = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number", examples=[64])]
Core = Annotated[int, Meta(ge=0, le=4095, description="the number of a CPU core", examples=[0])]


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """One pool of workers."""

    replicas: Count = 1
    cores: Annotated[
        tuple[Core, ...], Meta(description="CPU cores to pin, shared out evenly", examples=["[0, 1]"])
    ] = ()
    """Divided evenly, in order, among the replicas; empty pins nothing."""
    threads: Annotated[
        int, Meta(ge=0, le=1024, description="threads of a step, 0: by cores", examples=[1])
    ] = 0
    resources: Annotated[
        dict[str, float],
        Meta(description="Ray resources that one worker takes", examples=["{decode_node: 1}"]),
    ] = field(default_factory=dict)
    labels: Annotated[
        dict[str, str], Meta(description="labels that the node must have", examples=["{pool: decode}"])
    ] = field(default_factory=dict)
    device: Annotated[str, Meta(pattern=f"^({DEVICE}|)$", description=DEVICES, examples=["cuda:1"])] = ""
    """Where its workers compute; empty: where the cluster does."""


@dataclass(frozen=True, slots=True)
class PoolsSpec:
    """Both pools. Without prefill workers every decode worker computes its own prompts."""

    prefill: PoolSpec = PoolSpec()
    decode: PoolSpec = PoolSpec()


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """What faces the clients."""

    host: Annotated[
        str, Meta(min_length=1, description="the address to listen on", examples=["127.0.0.1"])
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65534, description="a TCP port", examples=[8000])] = 8000
    replicas: Annotated[int, Meta(ge=1, le=256, description="a number of processes", examples=[1])] = 1
    local_prefill: Annotated[bool, Meta(description="true or false", examples=[True])] = True
    """Whether decode workers compute prompts where that is sooner; false: only if no prefill worker can."""


@dataclass(frozen=True, slots=True)
class SchedulingSpec:
    """Bounds of one engine step."""

    max_batch_tokens: Positive = 512
    max_running: Positive = 64
    max_step_ms: Annotated[
        int, Meta(ge=1, le=60_000, description="the longest step wanted, in ms", examples=[500])
    ] = 500


@dataclass(frozen=True, slots=True)
class SloSpec:
    """What is promised to every request: plans that keep it go before others. 0 promises nothing."""

    ttft_ms: Annotated[
        int, Meta(ge=0, le=3_600_000, description="ms from arrival to the first token", examples=[2000])
    ] = 0
    itl_ms: Annotated[int, Meta(ge=0, le=60_000, description="ms between two tokens", examples=[50])] = 0


@dataclass(frozen=True, slots=True)
class MockSpec:
    """What a modelled engine pretends to be."""

    speedup: Annotated[
        float, Meta(ge=0.001, le=100_000, description="how much faster than modelled", examples=[100])
    ] = 1.0
    """Its modelled times are divided by this."""
    kv_tokens: Annotated[
        int, Meta(ge=1024, le=1 << 24, description="KV room of one worker, in tokens", examples=[262_144])
    ] = 262_144
    """In place of `kv_memory`."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A cluster."""

    model: Annotated[
        str, Meta(min_length=1, description="a model folder or a name on the hub", examples=[DEFAULT_MODEL])
    ] = DEFAULT_MODEL
    engine: Annotated[
        EngineKind,
        Meta(
            description="torch, or modelled: no weights, made-up tokens, modelled times", examples=["torch"]
        ),
    ] = "torch"
    mock: MockSpec = MockSpec()
    """Only for `engine: modelled`."""
    served_name: Annotated[
        str, Meta(max_length=256, description="the name that clients ask for", examples=["baton-tiny"])
    ] = ""
    """Empty: the last part of `model`."""
    dtype: Annotated[Dtype, Meta(description="what the model computes in", examples=["auto"])] = "auto"
    device: Annotated[str, Meta(pattern=f"^({DEVICE})$", description=DEVICES, examples=["cuda:0"])] = "cpu"
    """Where workers compute; "cuda" is the first device that a worker sees."""
    weights: Annotated[
        Weights, Meta(description="how weights are kept: model (in dtype) or int8", examples=["int8"])
    ] = "model"
    """int8: quantised when they are loaded; faster and slightly less exact."""
    kv_dtype: Annotated[
        KvDtype, Meta(description="what KV is stored in: model (as dtype) or int8", examples=["int8"])
    ] = "model"
    """int8: half the memory and half the bytes to move; slightly less exact."""
    block_size: Annotated[int, Meta(ge=1, le=1024, description="tokens in one KV block", examples=[16])] = 16
    kv_memory: Annotated[ByteSize, Meta(description="KV memory of one worker", examples=["256MiB"])] = (
        DEFAULT_KV_MEMORY
    )
    pools: PoolsSpec = PoolsSpec()
    gateway: GatewaySpec = GatewaySpec()
    directory: Annotated[
        str,
        Meta(
            pattern=r"^(ray|rediss?://.+)$",
            description='"ray", or the URL of a Redis server',
            examples=["redis://127.0.0.1:6379/0"],
        ),
    ] = "ray"
    limits: Limits = DEFAULT_LIMITS
    scheduling: SchedulingSpec = SchedulingSpec()
    slo: SloSpec = SloSpec()

    @property
    def name(self) -> str:
        """The model name that clients ask for."""
        return self.served_name or self.model.rstrip("/").rsplit("/", 1)[-1]

    @property
    def computes(self) -> bool:
        """Whether its engines load the model, or only pretend to."""
        return self.engine == "torch"

    def device_of(self, pool: PoolSpec) -> str:
        """Where the workers of a pool compute."""
        return pool.device or self.device

    @property
    def workers(self) -> int:
        """Workers of both pools."""
        return self.pools.prefill.replicas + self.pools.decode.replicas
