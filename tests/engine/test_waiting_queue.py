"""Fair shares between tenants, head starts by priority, and nobody waits for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.sequence import Sequence
from engine.waiting_queue import PRIORITY_TOKENS, WaitingQueue
from protocol.ids import RequestId
from protocol.request import Assignment, Request
from protocol.sampling import Sampling


def sequence(name: str, tenant: str = "a", tokens: int = 100, priority: int = 0) -> Sequence:
    """A waiting sequence of `tokens` prompt tokens."""
    request = Request(
        id=RequestId(name),
        model="m",
        prompt=tuple(range(tokens)),
        sampling=Sampling(seed=0),
        max_tokens=1,
        tenant=tenant,
        priority=priority,
    )
    return Sequence(Assignment(request, 1, (), 60.0), b"f", 16, 1)


def drain(queue: WaitingQueue) -> list[Sequence]:
    """Starts everything, in order."""
    started = []
    while len(queue):
        first = next(iter(queue))
        queue.start(first)
        started.append(first)
    return started


def test_one_tenant_is_served_in_order_of_arrival() -> None:
    """Without rivals and priorities the queue is first in, first out."""
    queue = WaitingQueue()
    for number in range(5):
        queue.arrive(sequence(f"r{number}", tokens=10 + number))
    assert [one.request.id for one in drain(queue)] == [f"r{number}" for number in range(5)]


def test_a_burst_does_not_delay_another_tenant() -> None:
    """Who sends a hundred requests queues behind itself."""
    queue = WaitingQueue()
    for number in range(100):
        queue.arrive(sequence(f"burst{number}", "greedy"))
    queue.arrive(sequence("small", "modest"))
    assert [one.request.id for one in drain(queue)].index(RequestId("small")) <= 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 200)), min_size=1, max_size=60))
def test_backlogged_tenants_get_equal_tokens(arrivals: list[tuple[str, int]]) -> None:
    """While two tenants both wait, their shares differ by no more than the two longest requests."""
    queue = WaitingQueue()
    left: dict[str, int] = {}
    for number, (tenant, tokens) in enumerate(arrivals):
        queue.arrive(sequence(f"r{number}", tenant, tokens))
        left[tenant] = left.get(tenant, 0) + 1
    served = dict.fromkeys(left, 0)
    longest = max(tokens for _, tokens in arrivals) + 1
    for one in drain(queue):
        tenant = one.request.tenant
        served[tenant] += one.uncomputed + 1
        left[tenant] -= 1
        waiting = [served[other] for other in served if left[other] and left[tenant]]
        assert not waiting or max(waiting) - min(waiting) <= 2 * longest


def test_priority_is_a_head_start_and_never_starves() -> None:
    """An urgent request goes first; an endless stream of them does not hold others for ever."""
    queue = WaitingQueue()
    queue.arrive(sequence("patient", "a"))
    queue.arrive(sequence("urgent", "b", priority=1))
    first = next(iter(queue))
    assert first.request.id == "urgent"
    queue.start(first)
    size = 4096
    for number in range(2 * PRIORITY_TOKENS // size):
        queue.arrive(sequence(f"urgent{number}", "b", size, priority=1))
        first = next(iter(queue))
        if first.request.id == "patient":
            return
        queue.start(first)
    raise AssertionError("the patient request never came first")


def test_a_preempted_sequence_keeps_its_place() -> None:
    """Whoever was started and preempted comes back before those that arrived later."""
    queue = WaitingQueue()
    for number in range(3):
        queue.arrive(sequence(f"r{number}"))
    first = next(iter(queue))
    queue.start(first)
    queue.come_back(first)
    assert [one.request.id for one in drain(queue)] == ["r0", "r1", "r2"]


def test_leaving_takes_one_out() -> None:
    """A dropped sequence is not started."""
    queue = WaitingQueue()
    kept, gone = sequence("kept"), sequence("gone")
    queue.arrive(gone)
    queue.arrive(kept)
    queue.leave(gone)
    assert drain(queue) == [kept]
