"""The prefill role: what it admits, what it tells the gateway, and what is left afterwards."""

from __future__ import annotations

import pytest

from engine.owner import OwnerKind
from engine.step import StepResult
from protocol.limits import Limits
from protocol.mail import Outbound
from protocol.messages import Admitted, Cancel, Failed, Frame, Refused, StepReport, TokenDelta, Withdrawn
from protocol.stamp import Phase
from tests.engine.modelled import answer
from tests.prefill_worker.prefill_bench import (
    GATEWAY,
    LIMITS,
    LINK,
    OTHER_GATEWAY,
    PROMPT,
    PrefillBench,
    job,
    key,
    transfer,
)

LONG = tuple(range(1200))
FIRST = answer(job().request)[0]


def deltas(frames: list[Frame]) -> list[TokenDelta]:
    """The tokens among them."""
    return [delta for frame in frames if isinstance(frame, StepReport) for delta in frame.deltas]


def refusal(bench: PrefillBench) -> str:
    """The code of the only answer."""
    (refused,) = bench.sent(GATEWAY)
    assert isinstance(refused, Refused)
    return refused.code


def test_a_prompt_is_admitted_computed_and_handed_over() -> None:
    """The gateway hears Admitted, then the first token with the phases until then; the attempt is
    over here, and the reader's lease holds the KV."""
    bench = PrefillBench()
    bench.prefill(job(), now=1.0)
    assert bench.sent(GATEWAY) == [Admitted(key(), 0)]
    bench.turn(3.0)
    (delta,) = deltas(bench.sent(GATEWAY))
    assert (delta.key, delta.first_index, delta.tokens, delta.finish) == (key(), 0, (FIRST,), None)
    assert [(stamp.phase, stamp.seconds) for stamp in delta.stamps] == [
        (Phase.PREFILL_QUEUE, 2.0),
        (Phase.PREFILL, 0.0),
    ]
    assert bench.pinned() == bench.held() == 3
    assert not bench.turn(4.0)
    assert bench.sent(GATEWAY) == []
    assert not bench.role.busy()
    bench.role.close()


def test_it_goes_on_after_tokens_that_were_sent() -> None:
    """A new attempt's prompt is the request's, and the tokens sent; the next token is the next one."""
    bench = PrefillBench()
    bench.prefill(job(sent=answer(job().request)[:3], attempt=2))
    bench.turn()
    (delta,) = deltas(bench.sent(GATEWAY))
    assert (delta.first_index, delta.tokens) == (3, answer(job().request)[3:4])


def test_the_last_token_may_be_the_first() -> None:
    """max_tokens 1, or a stop token at once: the reader is told that
    nothing will come, and no block is pinned."""
    for told in (job(max_tokens=1), job(stop_tokens=(FIRST,))):
        bench = PrefillBench()
        bench.prefill(told)
        bench.attach()
        bench.turn()
        assert any(isinstance(frame, Withdrawn) for frame in bench.sent(LINK))
        assert bench.held() == 0


def test_a_prefix_that_is_cached_is_not_computed_but_published() -> None:
    """The second of two equal prompts reads what the first left, and its reader gets all of it."""
    bench = PrefillBench()
    bench.prefill(job())
    bench.turn()
    bench.sent(GATEWAY)
    bench.prefill(job("s"), "u")
    bench.attach("u")
    bench.turn()
    (delta,) = deltas(bench.sent(GATEWAY))
    assert delta.cached_tokens == 8
    assert bench.pinned("u") == 3


@pytest.mark.parametrize("stage", ["waiting", "computing", "handed over", "released"])
def test_cancel_in_every_stage(stage: str) -> None:
    """Before the first token all is given back at once and the reader hears it; afterwards the
    attempt is the reader's business. Twice is harmless, and nothing is answered."""
    bench = PrefillBench(400)
    bench.prefill(job(prompt=PROMPT if stage in ("handed over", "released") else LONG))
    bench.attach()
    if stage != "waiting":
        bench.turn()
    if stage == "released":
        bench.release()
    bench.role.take_outbox()
    for _ in range(2):
        bench.hear(Cancel(key()))
    assert bench.held() == (3 if stage == "handed over" else 0)
    withdrawn = [frame for frame in bench.sent(LINK) if isinstance(frame, Withdrawn)]
    assert len(withdrawn) == (1 if stage in ("waiting", "computing") else 0)
    assert not bench.turn()
    assert bench.sent(GATEWAY) == []


@pytest.mark.parametrize("stage", ["waiting", "computing", "handed over"])
def test_a_lost_gateway_in_every_stage(stage: str) -> None:
    """Its prompts are forgotten; what is pinned goes back with the lease."""
    bench = PrefillBench(400)
    bench.prefill(job(prompt=PROMPT if stage == "handed over" else LONG))
    bench.prefill(job("other"), "u", OTHER_GATEWAY)
    if stage != "waiting":
        bench.turn()
    bench.role.peer_lost(GATEWAY, 1.0)
    while bench.turn(1.0):
        pass
    assert len(deltas(bench.sent(OTHER_GATEWAY))) == 1, "the other gateway's prompt goes on"
    bench.turn(1.0 + LIMITS.lease_s)
    assert bench.held() == 0


@pytest.mark.parametrize("steps", [0, 1])
def test_the_deadline_in_every_stage(steps: int) -> None:
    """Waiting or computing, an attempt that is too late fails with a typed error and holds nothing."""
    bench = PrefillBench(400)
    bench.prefill(job(prompt=LONG, left_s=2.0), now=10.0)
    for _ in range(steps):
        bench.turn(11.9)
    bench.role.take_outbox()
    bench.turn(12.0)
    (failed,) = bench.sent(GATEWAY)
    assert isinstance(failed, Failed)
    assert (failed.key, failed.code) == (key(), "deadline_exceeded")
    assert bench.held() == 0
    assert not bench.turn(13.0)


def test_a_prompt_that_never_fits_is_refused_as_such() -> None:
    """The client can mend that; waiting could not."""
    bench = PrefillBench(2)
    bench.prefill(job())
    assert refusal(bench) == "context_length_exceeded"


def test_a_full_queue_is_busy() -> None:
    """Beyond max_open_requests the gateway tries the next plan."""
    bench = PrefillBench(limits=Limits(max_open_requests=1))
    bench.prefill(job())
    bench.sent(GATEWAY)
    bench.prefill(job("s"), "u")
    assert refusal(bench) == "worker_busy"
    assert bench.source.user(transfer("u")) is None


def test_pins_at_the_cap_refuse_new_prompts_and_shorten_no_lease() -> None:
    """More than max_pinned_share of the blocks wait for readers: backpressure, until one is done."""
    bench = PrefillBench(14)
    for name in "ab":
        bench.prefill(job(name, tuple(range(ord(name), ord(name) + 10))), name)
        bench.attach(name)
    bench.turn()
    assert bench.engine.pool.held(OwnerKind.PINNED) == 6
    bench.sent(GATEWAY)
    bench.prefill(job("c"), "c")
    assert refusal(bench) == "worker_busy"
    bench.turn(LIMITS.lease_s - 0.1)
    assert (bench.pinned("a"), bench.pinned("b")) == (3, 3)
    bench.release("a")
    bench.prefill(job("c"), "c", now=1.0)
    assert bench.sent(GATEWAY) == [Admitted(key("c"), 0)]


@pytest.mark.parametrize("computed", [False, True])
def test_a_doubled_prefill_is_ignored(computed: bool) -> None:
    """Early or late, it computes nothing twice, answers nothing and touches no lease."""
    bench = PrefillBench()
    bench.prefill(job())
    if computed:
        bench.turn()
    bench.sent(GATEWAY)
    bench.prefill(job())
    assert bench.sent(GATEWAY) == []
    while bench.turn():
        pass
    assert len(deltas(bench.sent(GATEWAY))) == (0 if computed else 1)
    assert bench.pinned() == 3


@pytest.mark.parametrize("computed", [False, True])
def test_an_id_of_a_transfer_serves_one_attempt(computed: bool) -> None:
    """Another attempt under the same id would hand a reader the wrong prompt's KV: it is refused."""
    bench = PrefillBench()
    bench.prefill(job())
    if computed:
        bench.turn()
    bench.sent(GATEWAY)
    bench.prefill(job("other"), peer=OTHER_GATEWAY)
    (refused,) = bench.sent(OTHER_GATEWAY)
    assert isinstance(refused, Refused)
    assert (refused.key, refused.code) == (key("other"), "transfer_failed")
    while bench.turn():
        pass
    assert bench.pinned() == 3


def test_an_attempt_of_another_gateway_cannot_be_touched() -> None:
    """A second gateway with the same key is refused; its Cancel takes back nothing."""
    bench = PrefillBench()
    bench.prefill(job())
    bench.sent(GATEWAY)
    bench.prefill(job(prompt=(5, 6, 7)), "u", OTHER_GATEWAY)
    (refused,) = bench.sent(OTHER_GATEWAY)
    assert isinstance(refused, Refused)
    assert refused.code == "worker_busy"
    bench.hear(Cancel(key()), OTHER_GATEWAY)
    bench.role.peer_lost(OTHER_GATEWAY, 0.0)
    bench.turn()
    (delta,) = deltas(bench.sent(GATEWAY))
    assert delta.tokens == (FIRST,)


def test_logits_that_are_not_finite_fail_one_attempt() -> None:
    """The gateway hears a typed error, the reader that nothing will come, and no block stays."""
    bench = PrefillBench()
    bench.prefill(job())
    bench.attach()
    bench.role.take_outbox()
    bench.role.before_plan(0.0)
    step = bench.engine.plan()
    assert step is not None
    result = StepResult((None,), 0.001)
    bench.role.after_commit(bench.engine.commit(step, result), 0.0, 0.0)
    bench.engine.release_ended()
    mail = bench.role.take_outbox()
    kinds = {type(one.frame) for one in mail if isinstance(one, Outbound)}
    assert kinds == {Failed, Withdrawn}
    assert bench.held() == 0
