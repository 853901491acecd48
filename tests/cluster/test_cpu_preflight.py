"""What is refused of workers on CPU before anything starts."""

from __future__ import annotations

import pytest

from cluster.byte_size import ByteSize
from cluster.cpu_preflight import check_cpu, check_memory
from cluster.preflight import free_port, prepared
from cluster.spec import GatewaySpec, Spec
from protocol.errors import InvalidSpec

ABLE = frozenset({"avx512_vnni", "avx512_bf16"})
OLD = frozenset({"avx2"})


@pytest.mark.parametrize(
    ("asked", "flags", "message"),
    [
        (Spec(weights="int8", dtype="fp32"), ABLE, "weights: int8 .* dtype is fp32 here"),
        (Spec(kv_dtype="int8", dtype="fp32"), ABLE, "kv_dtype: int8 .* dtype is fp32 here"),
        (Spec(weights="int8"), OLD, "weights: int8 .* dtype is fp32 here"),
        (Spec(weights="int8", dtype="bf16"), OLD, "weights: int8 .* this CPU lacks avx512_vnni"),
        (Spec(kv_dtype="int8", dtype="bf16"), OLD, "kv_dtype: int8 .* this CPU lacks avx512_vnni"),
    ],
    ids=["weights in fp32", "KV in fp32", "auto is fp32 here", "weights", "KV"],
)
def test_what_a_cpu_cannot_do_is_one_sentence(asked: Spec, flags: frozenset[str], message: str) -> None:
    """A format that the dtype or the CPU does not go with is refused by key."""
    with pytest.raises(InvalidSpec, match=message):
        check_cpu(asked, flags)


def test_what_a_cpu_can_do_passes() -> None:
    """Any CPU computes in bf16, though slowly; int8 where its instructions are."""
    check_cpu(Spec(dtype="bf16"), OLD)
    check_cpu(Spec(dtype="bf16", weights="int8", kv_dtype="int8"), ABLE)


def test_the_formats_of_a_device_are_not_the_cpu_s_business() -> None:
    """A spec without workers on CPU is judged by its devices alone."""
    check_cpu(Spec(device="cuda", weights="int8", dtype="fp32"), OLD)


def test_weights_take_memory_too() -> None:
    """KV memory that fits only without the weights is refused before a worker is killed for it."""
    spec = Spec(kv_memory=ByteSize(4 << 30))
    check_memory(spec, 1 << 30, 12 << 30)
    with pytest.raises(InvalidSpec, match=r"2 workers with 4GiB each do not fit .* with 2GiB of weights"):
        check_memory(spec, 2 << 30, 12 << 30)


def test_a_wrong_format_stops_the_start() -> None:
    """`baton up` refuses it before anything starts."""
    spec = Spec(weights="int8", dtype="fp32", gateway=GatewaySpec(port=free_port("127.0.0.1")))
    with pytest.raises(InvalidSpec, match="weights: int8"):
        prepared(spec)
