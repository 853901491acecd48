"""The NIXL transport keeps the seam's promises between real processes, over shared memory and TCP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from kv_transfer.nixl_agent import Strip, ucx_config
from kv_transfer.transport import ReadState
from tests.kv_transfer.nixl_scene import NixlScene, Nursery
from tests.kv_transfer.reading import end_of, everything
from tests.kv_transfer.transport_conformance import CHECKS
from tests.kv_transfer.transport_races import RACES, Check

pytestmark = pytest.mark.nixl


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Where sources come from."""
    made = Nursery()
    yield made
    made.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check.__name__))
async def test_nixl_conforms_on_one_machine(check: Check, nursery: Nursery) -> None:
    """The real transport keeps every promise by the way UCX chooses: the reader copies by itself."""
    scene = NixlScene(nursery, "NET_DEVICES=lo", hung_sources_answer=True)
    try:
        await check(scene)
    finally:
        scene.close()


@pytest.mark.parametrize("check", RACES, ids=lambda check: str(check.__name__))
async def test_nixl_conforms_over_tcp(check: Check, nursery: Nursery) -> None:
    """So it does where bytes come from the source's side, late: deaths, fences and reuse."""
    scene = NixlScene(nursery, "NET_DEVICES=lo,TLS=tcp", hung_sources_answer=False)
    try:
        await check(scene)
    finally:
        scene.close()


async def test_an_idle_transport_sleeps(nursery: Nursery) -> None:
    """With a peer connected and nothing to do, all threads together use next to no CPU."""
    scene = NixlScene(nursery, "NET_DEVICES=lo", hung_sources_answer=True)
    source = (await scene.start_source("plain", "1")).facts
    scene.reader.connect(source)
    read = scene.reader.read_generations(source, [0])
    assert await end_of(scene, read) is ReadState.DONE
    before = time.process_time()
    await asyncio.sleep(0.5)
    assert time.process_time() - before < 0.1
    scene.close()


async def test_reads_over_tcp_are_charged_where_they_are_copied(nursery: Nursery) -> None:
    """A post over TCP returns at once; the budget still learns what the progress thread spent."""
    scene = NixlScene(nursery, "NET_DEVICES=lo,TLS=tcp", hung_sources_answer=False)
    source = (await scene.start_source("plain", "1")).facts
    scene.reader.connect(source)
    for _ in range(4):
        assert await end_of(scene, scene.reader.read_blocks(source, everything(scene))) is ReadState.DONE
    cost = scene.reader.copy_cost()
    assert 0.1e9 < cost.bytes / cost.seconds < 20e9
    scene.close()


def test_a_loopback_worker_listens_on_loopback_alone() -> None:
    """UCX is bound to loopback when the worker is, unless the operator has named devices."""
    assert ucx_config("127.0.0.1", {}) == "NET_DEVICES=lo"
    assert ucx_config("::1", {}) == "NET_DEVICES=lo"
    assert ucx_config("localhost", {}) == "NET_DEVICES=lo"
    assert ucx_config("10.0.0.7", {}) == ""
    assert ucx_config("worker-3.internal", {}) == ""
    assert ucx_config("127.0.0.1", {"UCX_NET_DEVICES": "eth1"}) == ""


def test_device_memory_is_named_with_its_device() -> None:
    """NIXL's descriptors of a strip carry the index of its device; host memory is another kind."""
    there = Strip(4096, 16, 8, device=3)
    assert there.region == (4096, 128, 3, "")
    assert there.rows().tolist() == [[4096, 16, 3, 16, 8]]
    assert Strip(4096, 16, 8).rows().tolist() == [[4096, 16, 0, 16, 8]]
