"""Step times are learnt from steps."""

from __future__ import annotations

import numpy as np
import pytest

from router.step_model import StepModel
from tests.router.views import taught_model


def predicted(model: StepModel, workers: int, prompt: float, decodes: float) -> list[float]:
    full = np.full(workers, 1.0)
    return [float(s) for s in model.predict(full * prompt, 0.0, full * decodes, full * 0.0)]


def test_learns_the_cost_of_tokens_and_sequences() -> None:
    """After two thousand steps a prediction is within 5 % for steps like those it saw."""
    model = taught_model(2)
    assert predicted(model, 2, 2000.0, 0.0) == pytest.approx([0.205] * 2, rel=0.05)
    assert predicted(model, 2, 0.0, 10.0) == pytest.approx([0.020] * 2, rel=0.05)
    assert predicted(model, 2, 1000.0, 5.0) == pytest.approx([0.120] * 2, rel=0.05)


def test_an_unknown_cluster_is_predicted_all_the_same() -> None:
    """Before any measurement a prompt costs something, and more when it is longer."""
    model = StepModel(1)
    assert 0.0 < predicted(model, 1, 100.0, 0.0)[0] < predicted(model, 1, 5000.0, 0.0)[0]


def test_a_slow_worker_shows() -> None:
    """One speed per worker: twice as slow is predicted so, and the others are not blamed."""
    model = StepModel(4)
    for number in range(4000):
        prompt = float(100 + number % 1900)
        slow = 2.0 if number % 4 == 3 else 1.0
        model.observe(number % 4, prompt, 0.0, 0.0, 0.0, slow * (0.01 + 1e-4 * prompt))
    seconds = predicted(model, 4, 1000.0, 0.0)
    assert seconds[3] / seconds[0] == pytest.approx(2.0, rel=0.1)


def test_hardware_that_changes_is_learnt_again() -> None:
    """Old evidence is forgotten: after a few thousand steps at half the speed predictions follow."""
    model = taught_model(1)
    for number in range(4000):
        prompt = float(1 + number % 2048)
        model.observe(0, prompt, 0.0, 0.0, 0.0, 2.0 * (0.005 + 1e-4 * prompt))
    assert predicted(model, 1, 2000.0, 0.0)[0] == pytest.approx(0.41, rel=0.1)
