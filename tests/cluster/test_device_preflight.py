"""What is refused of a spec with devices before anything starts."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from cluster.byte_size import ByteSize
from cluster.device_preflight import check_devices, workers_on_cpu
from cluster.preflight import free_port, prepared
from cluster.spec import GatewaySpec, PoolSpec, PoolsSpec, Spec
from engine.torch_runner.cuda.ask_devices import ask_devices
from engine.torch_runner.device import DeviceFacts, Devices
from protocol.errors import InvalidSpec

LARGE = DeviceFacts("Large", (9, 0), 132, 140 << 30, 130 << 30)
OLD = DeviceFacts("Old", (7, 5), 40, 16 << 30, 15 << 30)
BOTH = Devices((LARGE, OLD))


def spec(device: str, **changes: object) -> Spec:
    """One prefill and one decode worker there."""
    return replace(Spec(device=device), **changes)  # type: ignore[arg-type]


def test_without_devices_nobody_is_asked() -> None:
    """A cluster on CPU starts no process that looks for a GPU."""

    def never() -> Devices:
        raise AssertionError

    check_devices(spec("cpu"), never)
    pools = PoolsSpec(decode=PoolSpec(device="cpu"), prefill=PoolSpec(replicas=0))
    check_devices(spec("cuda", pools=pools), never)


@pytest.mark.parametrize(
    ("asked", "devices", "message"),
    [
        (spec("cuda"), Devices((), "torch finds no GPU"), "device: there is no cuda:0; torch finds no GPU"),
        (spec("cuda:2"), BOTH, r"device: there is no cuda:2; .* has cuda:0 \(Large\), cuda:1 \(Old\)"),
        (
            spec("cuda:1", dtype="bf16"),
            BOTH,
            r"dtype: Old \(compute capability 7.5\) does not compute in bf16",
        ),
        (spec("cuda:1"), BOTH, "dtype: Old"),
        (spec("cuda", weights="int8"), BOTH, "weights: int8 is not offered on cuda:0"),
        (spec("cuda", kv_dtype="int8"), BOTH, "kv_dtype: int8 is not offered on cuda:0"),
        (spec("cuda", kv_memory=ByteSize(66 << 30)), BOTH, "kv_memory: 135168 MiB do not fit into .* cuda:0"),
    ],
    ids=["no GPU", "index", "dtype", "auto", "weights", "KV", "memory of both workers"],
)
def test_what_a_device_cannot_do_is_one_sentence(asked: Spec, devices: Devices, message: str) -> None:
    """An absent device, a dtype it lacks, and more KV memory than it has free are refused by key."""
    with pytest.raises(InvalidSpec, match=message) as caught:
        check_devices(asked, lambda: devices)
    assert caught.value.param in ("device", "dtype", "weights", "kv_dtype", "kv_memory")


def test_what_a_device_can_do_passes() -> None:
    """Workers on different devices each have their own memory; an old device computes in fp32."""
    pools = PoolsSpec(decode=PoolSpec(device="cuda"), prefill=PoolSpec(device="cuda:1"))
    check_devices(spec("cpu", pools=pools, dtype="fp32", kv_memory=ByteSize(14 << 30)), lambda: BOTH)
    check_devices(spec("cuda:0", kv_memory=ByteSize(60 << 30)), lambda: BOTH)


def test_memory_of_the_host_counts_workers_on_cpu_alone() -> None:
    """KV on a device takes none of the host's memory."""
    assert workers_on_cpu(spec("cuda", pools=PoolsSpec(decode=PoolSpec(replicas=3, device="cpu")))) == 3


def test_a_torch_that_cannot_say_has_no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that asks and fails gives a reason instead of an exception."""
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    devices = ask_devices()
    assert devices.found == () and "/no/such/python" in devices.absence


def test_a_device_that_is_absent_here_stops_the_start() -> None:
    """`baton up` refuses it before anything starts; nothing has that many devices."""
    with pytest.raises(InvalidSpec, match="device: there is no cuda:99"):
        prepared(Spec(device="cuda:99", gateway=GatewaySpec(port=free_port("127.0.0.1"))))
