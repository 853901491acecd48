"""Step reports that leave together: one frame a peer, one delta an attempt."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from msgspec import structs

from protocol.delta_run import joined
from protocol.ids import AttemptKey
from protocol.load_report import LoadReport
from protocol.mail import EngineOutbox, Outbound, PeerId
from protocol.messages import StepReport, TokenDelta


def fold_reports(mail: Seq[EngineOutbox]) -> list[EngineOutbox]:
    """Joins all StepReports to one peer into one frame, at the place of the last."""
    if len(mail) < 2:
        return list(mail)
    reports: dict[PeerId, list[StepReport]] = {}
    last: dict[PeerId, int] = {}
    for place, item in enumerate(mail):
        if isinstance(item, Outbound) and isinstance(item.frame, StepReport):
            reports.setdefault(item.peer, []).append(item.frame)
            last[item.peer] = place
    folded: list[EngineOutbox] = []
    for place, item in enumerate(mail):
        if not (isinstance(item, Outbound) and isinstance(item.frame, StepReport)):
            folded.append(item)
        elif last[item.peer] == place:
            folded.append(Outbound(item.peer, _joined(reports[item.peer])))
    return folded


def only_more_tokens(mail: Seq[EngineOutbox]) -> bool:
    """Whether all of it may wait a moment: tokens that are neither an attempt's first here nor its last."""
    for item in mail:
        if not (isinstance(item, Outbound) and isinstance(item.frame, StepReport)):
            return False
        if item.frame.load is not None:
            return False
        if any([delta.stamps or delta.finish for delta in item.frame.deltas]):
            return False
    return True


def _joined(reports: Seq[StepReport]) -> StepReport:
    """The newest load counts, with the samples of all."""
    if len(reports) == 1:
        return reports[0]
    load: LoadReport | None = None
    own = None
    for report in reports:
        load = report.load if load is None else _newer(load, report.load)
        own = own if report.own is None else report.own
    return StepReport(_deltas(reports), load, own)


def _newer(load: LoadReport, newer: LoadReport | None) -> LoadReport:
    if newer is None:
        return load
    steps, pulls = load.step_samples + newer.step_samples, load.pull_samples + newer.pull_samples
    return structs.replace(newer, step_samples=steps, pull_samples=pulls)


def _deltas(reports: Seq[StepReport]) -> tuple[TokenDelta, ...]:
    """One an attempt, where they follow on each other."""
    with_deltas = [report.deltas for report in reports if report.deltas]
    if len(with_deltas) < 2:  # one step's: one an attempt already
        return with_deltas[0] if with_deltas else ()
    runs: list[list[TokenDelta]] = []
    latest: dict[AttemptKey, list[TokenDelta]] = {}
    for delta in (delta for deltas in with_deltas for delta in deltas):
        run = latest.get(delta.key)
        if run is not None and _follows(run[-1], delta):
            run.append(delta)
        else:
            latest[delta.key] = [delta]
            runs.append(latest[delta.key])
    return tuple(map(joined, runs))


def _follows(first: TokenDelta, more: TokenDelta) -> bool:
    return first.first_index + len(first.tokens) == more.first_index
