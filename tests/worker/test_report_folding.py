"""Folding of reports: one frame an engine step and gateway, and nothing out of order."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import AttemptKey, Incarnation, RequestId, WorkerId, WorkerIdentity
from protocol.load_report import LoadReport, OwnLoad, PullSample, StepSample
from protocol.mail import Dial, EngineOutbox, Outbound, PeerId
from protocol.messages import Admitted, FinishReason, StepReport, TokenDelta, WorkerAddress
from protocol.stamp import Phase, Stamp
from worker.report_folding import fold_reports, only_more_tokens

IDENTITY = WorkerIdentity(WorkerId("w"), Incarnation("i"))


def _load(steps: int) -> LoadReport:
    sample, pull = StepSample(0, 0.0, 1, 1, float(steps)), PullSample(IDENTITY, steps, 1.0)
    return LoadReport(0, 0, 0, 0, 0, (), steps, 0.0, 0.0, step_samples=(sample,), pull_samples=(pull,))


DELTAS = st.integers(0, 99).map(lambda n: TokenDelta(AttemptKey(RequestId(str(n)), 0), 0, (n,)))
REPORTS = st.builds(
    StepReport,
    st.lists(DELTAS, max_size=3).map(tuple),
    st.none() | st.integers(0, 99).map(_load),
    st.none() | st.builds(OwnLoad, st.integers(0, 9), st.integers(0, 9)),
)
OTHERS = st.integers(0, 99).map(lambda n: Admitted(AttemptKey(RequestId(str(n)), 0), 0))
DIALS = st.integers(-9, -1).map(lambda n: Dial(PeerId(n), WorkerAddress(IDENTITY, "h", 1)))
MAIL = st.lists(st.builds(Outbound, st.integers(1, 3).map(PeerId), REPORTS | OTHERS) | DIALS, max_size=12)


def _reports(mail: Seq[EngineOutbox], peer: PeerId) -> list[StepReport]:
    ours = [one.frame for one in mail if isinstance(one, Outbound) and one.peer == peer]
    return [frame for frame in ours if isinstance(frame, StepReport)]


def _is_report(mail: EngineOutbox) -> bool:
    return isinstance(mail, Outbound) and isinstance(mail.frame, StepReport)


@given(MAIL)
def test_folding_makes_one_report_a_peer_and_keeps_the_order(mail: list[EngineOutbox]) -> None:
    """Each peer gets all its deltas in order and its newest load, with the samples of all, in one frame that
    comes after everything it was sent before its last report; all other mail stays as it is, in order."""
    folded = fold_reports(mail)
    assert [one for one in folded if not _is_report(one)] == [one for one in mail if not _is_report(one)]
    for peer in map(PeerId, (1, 2, 3)):
        before, after = _reports(mail, peer), _reports(folded, peer)
        assert len(after) == min(1, len(before))
        for report in after:
            assert report.deltas == tuple(delta for one in before for delta in one.deltas)
            loads = [one.load for one in before if one.load is not None]
            assert (report.load is None) == (not loads)
            if report.load is not None:
                assert report.load.steps == loads[-1].steps
                assert report.load.step_samples == tuple(one for load in loads for one in load.step_samples)
                assert report.load.pull_samples == tuple(one for load in loads for one in load.pull_samples)
            parts = [one.own for one in before if one.own is not None]
            assert report.own == (parts[-1] if parts else None)
            behind = folded[folded.index(Outbound(peer, report)) + 1 :]
            last = max(place for place, one in enumerate(mail) if one == Outbound(peer, before[-1]))
            rest = [one for one in mail[last + 1 :] if not _is_report(one)]
            assert [one for one in behind if not _is_report(one)] == rest


STAMPS = (Stamp(Phase.PREFILL, 1.0),)


def _delta(name: str, index: int, *tokens: int, finish: FinishReason | None = None) -> TokenDelta:
    return TokenDelta(AttemptKey(RequestId(name), 0), index, tokens, finish=finish)


def _mail(*deltas: TokenDelta) -> list[EngineOutbox]:
    return [Outbound(PeerId(1), StepReport((delta,))) for delta in deltas]


def test_tokens_of_one_attempt_that_follow_on_each_other_become_one_delta() -> None:
    """In its first place, with all tokens, and the end that the last one tells; a gap is left as it is."""
    end = FinishReason.LENGTH
    first = TokenDelta(AttemptKey(RequestId("a"), 0), 3, (30,), cached_tokens=8, stamps=STAMPS)
    others = (_delta("b", 0, 10), _delta("a", 4, 31), _delta("b", 2, 12), _delta("a", 5, 32, finish=end))
    (mail,) = fold_reports(_mail(first, *others))
    whole = TokenDelta(first.key, 3, (30, 31, 32), finish=end, cached_tokens=8, stamps=STAMPS)
    assert mail == Outbound(PeerId(1), StepReport((whole, _delta("b", 0, 10), _delta("b", 2, 12))))


def test_only_tokens_between_the_first_and_the_last_may_wait() -> None:
    """A first token, an end, a load and any other frame are sent at once."""
    more = _delta("a", 4, 31)
    first = TokenDelta(more.key, 3, (30,), stamps=STAMPS)
    assert only_more_tokens(_mail(more, more))
    assert not only_more_tokens(_mail(more, first))
    assert not only_more_tokens(_mail(more, _delta("a", 5, 32, finish=FinishReason.STOP)))
    assert not only_more_tokens([*_mail(more), Outbound(PeerId(1), StepReport((), _load(1)))])
    assert not only_more_tokens([*_mail(more), Outbound(PeerId(1), Admitted(more.key, 0))])
