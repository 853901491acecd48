"""What `baton apply` may change, and which replicas Serve then replaces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.byte_size import ByteSize
from cluster.deployments import DECODE, GATEWAY, PREFILL, version
from cluster.run_folder import RunFolder
from cluster.spec import GatewaySpec, PoolSpec, PoolsSpec, SchedulingSpec, Spec
from cluster.spec_change import changed_spec
from protocol.errors import InvalidSpec

RUNNING = Spec(
    model="/models/m",
    served_name="m",
    pools=PoolsSpec(PoolSpec(replicas=2, threads=1), PoolSpec(replicas=2, threads=1)),
    gateway=GatewaySpec(port=8123),
)


def with_decode(spec: Spec, replicas: int, cores: tuple[int, ...] = ()) -> Spec:
    """The spec with another pool of decode workers."""
    decode = replace(spec.pools.decode, replicas=replicas, cores=cores)
    return replace(spec, pools=PoolsSpec(spec.pools.prefill, decode))


def test_workers_may_change() -> None:
    """Pools, KV memory and scheduling are taken over; the gateway's section may be left out."""
    wanted = replace(
        with_decode(RUNNING, 1),
        kv_memory=ByteSize(1 << 20),
        scheduling=SchedulingSpec(max_running=3),
        gateway=GatewaySpec(),
    )
    assert changed_spec(RUNNING, wanted) == replace(wanted, gateway=RUNNING.gateway)


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("model", replace(RUNNING, model="/models/other", served_name="m")),
        ("served_name", replace(RUNNING, served_name="other")),
        ("dtype", replace(RUNNING, dtype="fp32")),
        ("gateway", replace(RUNNING, gateway=GatewaySpec(port=8123, replicas=2))),
        ("directory", replace(RUNNING, directory="redis://127.0.0.1:1/0")),
    ],
)
def test_what_needs_a_new_start_is_refused_by_name(key: str, wanted: Spec) -> None:
    """What old and new workers could not have side by side is refused, and the answer names the key."""
    with pytest.raises(InvalidSpec, match=f"^{key} cannot change"):
        changed_spec(RUNNING, wanted)


def test_other_counts_replace_nobody() -> None:
    """When only the number of replicas changes, those that stay keep their version."""
    fewer = with_decode(RUNNING, 1)
    for name in (GATEWAY, PREFILL, DECODE):
        assert version(fewer, name) == version(RUNNING, name)


def test_other_scheduling_replaces_workers_and_no_gateway() -> None:
    """A changed step bound rolls both pools over; clients keep their gateway."""
    other = replace(RUNNING, scheduling=SchedulingSpec(max_running=3))
    assert version(other, DECODE) != version(RUNNING, DECODE)
    assert version(other, PREFILL) != version(RUNNING, PREFILL)
    assert version(other, GATEWAY) == version(RUNNING, GATEWAY)


def test_other_counts_share_pinned_cores_anew() -> None:
    """Where cores are shared out, another number of workers replaces all of that pool."""
    two, one = with_decode(RUNNING, 2, (0, 1)), with_decode(RUNNING, 1, (0, 1))
    assert version(two, DECODE) != version(one, DECODE)
    assert version(two, PREFILL) == version(one, PREFILL)


def test_asked_spec_is_taken_once(tmp_path: Path) -> None:
    """What one process asks for, the holder reads back unchanged, and only once."""
    folder = RunFolder(tmp_path / "run")
    with folder.held():
        folder.write_spec(RUNNING)
        assert folder.running_spec() == RUNNING
        folder.ask_for(with_decode(RUNNING, 1))
        assert folder.is_asked()
        assert folder.take_asked() == with_decode(RUNNING, 1)
        assert not folder.is_asked()
        assert folder.take_asked() is None
    assert folder.running_spec() is None
