"""How far predictions were from what happened, for each phase."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from gateway.calibration import predictions
from gateway.metrics import GatewayMetrics
from gateway.record import Record
from protocol.messages import Join
from protocol.stamp import Phase
from tests.gateway.fake_worker import ANSWER_S
from tests.gateway.gateway_scene import Scene, pair, play, request


def _record(scene: Scene, name: str) -> Record:
    record = scene.gateway.logbook.find(request(name).id, scene.clock.now())
    assert record is not None
    return record


def test_a_request_that_went_well_calibrates_every_phase() -> None:
    """Predicted is what the router said when it was placed, measured is what the phases tell."""

    async def act(scene: Scene) -> None:
        await scene.ask(request("good"))
        record = _record(scene, "good")
        found = {phase: (predicted, measured) for phase, predicted, measured in predictions(record)}
        assert set(found) == {
            Phase.PREFILL_QUEUE, Phase.PREFILL, Phase.FIRST, Phase.TRANSFER, Phase.DECODE,
        }  # fmt: skip
        note = record.placed
        assert note is not None
        assert found[Phase.PREFILL][0] == note.forecast.prefill_s
        assert found[Phase.PREFILL][1] == pytest.approx(ANSWER_S)
        assert found[Phase.DECODE][0] == 4 * note.forecast.token_s
        assert sum(record.phases.values()) - found[Phase.DECODE][1] >= found[Phase.FIRST][1]
        metrics = GatewayMetrics(CollectorRegistry(), "m")
        metrics.ended(record)
        labels = {"model": "m", "phase": "first_token"}
        sums = [
            metrics.registry.get_sample_value("baton_prediction_error_seconds_sum", {**labels, "kind": kind})
            for kind in ("early", "late")
        ]
        predicted, measured = found[Phase.FIRST]
        assert [one for one in sums if one is not None] == [abs(predicted - measured)]
        queue = {"model": "m", "phase": "queue"}
        assert metrics.registry.get_sample_value("baton_request_phase_seconds_count", queue) == 1

    play(act, *pair())


def test_others_teach_nothing() -> None:
    """Whose attempts were lost, or who did not finish: nobody can say which part was whose."""

    async def act(scene: Scene) -> None:
        scene.workers[1].fails[Join] = "transfer_failed"
        await scene.ask(request("lost"))
        assert _record(scene, "lost").attempts > 1
        assert list(predictions(_record(scene, "lost"))) == []

    play(act, *pair())
