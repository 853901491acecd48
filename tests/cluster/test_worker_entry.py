"""How a worker is put together from the spec."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from cluster.engine_config import EngineConfig
from cluster.spec import PoolSpec, PoolsSpec, Spec
from cluster.worker_entry import SPINS, WorkerPlace, engine_command, share_of_cores
from protocol.ids import Incarnation, WorkerId, WorkerIdentity

ME = WorkerIdentity(WorkerId("decode-1"), Incarnation("life"))


@given(st.integers(1, 8), st.integers(0, 4))
def test_cores_are_shared_out_once_each(replicas: int, each: int) -> None:
    """Every core of a pool is given to exactly one of its workers."""
    cores = tuple(range(replicas * each))
    pool = PoolSpec(replicas=replicas, cores=cores)
    given_out = [core for rank in range(replicas) for core in share_of_cores(pool, rank)]
    assert given_out == list(cores)


def test_engine_is_told_what_the_spec_says() -> None:
    """The engine's command line carries the spec's values, and its threads follow its cores."""
    pool = PoolSpec(replicas=2, cores=(0, 1, 2, 3), device="cuda:1")
    spec = Spec(model="m", served_name="name", dtype="bf16", device="cuda", pools=PoolsSpec(decode=pool))
    command = engine_command(spec, pool, WorkerPlace("decode", 1, "/logs"), ME)
    config = EngineConfig.from_json(command.argv[-1])
    assert (config.identity, config.role, config.name, config.dtype) == (ME, "decode", "name", "bf16")
    assert (config.kv_bytes, config.device) == (spec.kv_memory, "cuda:1")
    assert (config.threads, command.cores) == (2, (2, 3))
    assert dict(command.environment)["OMP_NUM_THREADS"] == "2"
    assert dict(command.environment)["GOMP_SPINCOUNT"] == SPINS
    assert str(command.log) == "/logs/decode-1.log"
    assert EngineConfig.from_json(config.to_json()) == config


def test_worker_and_gateway_entries_load_no_ray() -> None:
    """Only the Serve app needs ray: a worker or a gateway can be started without it, and a gateway
    without torch."""
    script = (
        "import sys, cluster.worker_entry, cluster.gateway_entry;"
        "print(*sorted({'ray', 'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
