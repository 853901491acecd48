"""How long engine steps take on every worker, learnt online from the steps themselves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

TERMS = 7
THOUSAND = 1e-3
MILLION = 1e-6
PRIOR_TOKEN_S = 1 / 2000.0
"""Assumed of a prompt token until a step was measured."""
PRIOR_STEP_S = 0.01
PRIOR_SEQUENCE_S = 2e-4
FIRST_BATCH, BATCH = 4, 32
"""Measurements before the first fit, and between two later ones; doubled in between."""
WORKERS_PER_SAMPLE = 8
"""Of many workers more measurements are waited for, or fits would take all the time there is."""
KEEP = 0.97
"""Of older evidence at each fit: about a thousand steps count."""
ANCHOR = 1e-4
"""Weight of the last fit in the next: decides only where nothing new was measured."""
SPEED_WEIGHT = 0.1
LEAST_S = 1e-4


class StepModel:
    """Predicts seconds = a (batch) + a' (prompt) + b n + c n^2 + c' n context + d decodes + e kv, where n
    are the prompt tokens of a step, `context` what is cached before them, and `kv` the tokens that the
    batch attends to.

    One set of coefficients for all workers, so a new one is predicted from its first request; one speed
    per worker, so a slow one shows. Weighted least squares of relative errors, with forgetting.
    """

    def __init__(self, workers: int) -> None:
        self._weights: Floats = np.zeros(TERMS)
        self._weights[0], self._weights[2] = PRIOR_STEP_S, PRIOR_TOKEN_S / THOUSAND
        self._weights[5] = PRIOR_SEQUENCE_S
        self._products: Floats = np.zeros((TERMS, TERMS))
        self._targets: Floats = np.zeros(TERMS)
        self._speed: Floats = np.ones(workers)
        self._fresh: list[tuple[int, float, float, float, float, float]] = []
        self._batch = FIRST_BATCH

    @property
    def speed(self) -> Floats:
        """Seconds measured over seconds predicted, [workers]."""
        return self._speed

    def grow(self, workers: int) -> None:
        """Makes room for more workers, of whom nothing is known."""
        self._speed = np.concatenate([self._speed, np.ones(workers - len(self._speed))])

    def forget(self, worker: int) -> None:
        """Another worker takes this place; what all had in common stays."""
        self._speed[worker] = 1.0
        self._fresh = [sample for sample in self._fresh if sample[0] != worker]

    def observe(
        self, worker: int, prompt: float, context: float, decodes: float, kv: float, seconds: float
    ) -> None:
        """One finished step: prompt tokens, tokens cached before them, sequences and their KV tokens."""
        self._fresh.append((worker, prompt, context, decodes, kv, seconds))
        if len(self._fresh) >= self._batch:
            self._batch = min(2 * self._batch, max(BATCH, len(self._speed) // WORKERS_PER_SAMPLE))
            self._fit()

    def predict(self, prompt: Floats, context: Floats | float, decodes: Floats, kv: Floats) -> Floats:
        """Seconds of one such step on each worker, [workers]; 0 where nothing is computed. Of several
        steps at once if arguments are [steps, workers]: for few workers that costs little more than one."""
        weights = self._weights.tolist()
        thousands = prompt * THOUSAND
        by_token = thousands * weights[3] + (weights[2] + context * (THOUSAND * weights[4]))
        seconds: Floats = thousands * by_token + (prompt > 0) * weights[1] + (decodes > 0) * weights[0]
        seconds += decodes * weights[5] + kv * (MILLION * weights[6])
        predicted: Floats = np.maximum(seconds, 0.0) * self._speed
        return predicted

    def at(self, worker: int, prompt: float, context: float, decodes: float, kv: float) -> float:
        """Seconds of one such step on one worker, as `predict` would say."""
        batch, step, token, square, by_context, decode, attended = self._weights.tolist()
        thousands = prompt * THOUSAND
        seconds = thousands * (thousands * square + token + context * THOUSAND * by_context)
        seconds += (step if prompt > 0 else 0.0) + (batch if decodes > 0 else 0.0)
        seconds += decodes * decode + kv * MILLION * attended
        predicted: float = max(seconds, 0.0) * float(self._speed[worker])
        return predicted

    def _fit(self) -> None:
        rows = np.array(self._fresh)
        self._fresh.clear()
        seconds = np.maximum(rows[:, 5], LEAST_S)
        raw = _terms(rows[:, 1], rows[:, 2], rows[:, 3], rows[:, 4])
        terms = raw / seconds[:, None]
        self._products = KEEP * self._products + terms.T @ terms
        self._targets = KEEP * self._targets + terms.sum(axis=0)
        anchor = ANCHOR * (np.diag(self._products) + 1.0)
        known = self._targets + anchor * self._weights
        self._weights = _solved(self._products + np.diag(anchor), known)
        self._learn_speed(rows[:, 0].astype(np.int64), seconds, raw @ self._weights)

    def _learn_speed(self, workers: npt.NDArray[np.int64], seconds: Floats, predicted: Floats) -> None:
        ratio = seconds / np.maximum(predicted, LEAST_S)
        count = np.bincount(workers, minlength=len(self._speed))
        mean = np.bincount(workers, np.clip(ratio, 0.01, 100.0), len(self._speed)) / np.maximum(count, 1)
        weight = 1.0 - np.power(1.0 - SPEED_WEIGHT, count.astype(np.float64))
        self._speed += weight * (np.where(count > 0, mean, self._speed) - self._speed)


def _solved(products: Floats, targets: Floats) -> Floats:
    """The weights, none of them negative: nothing in a step takes less than no time. Terms that would be are
    left out, and the rest is solved again."""
    weights = np.zeros(TERMS)
    kept = np.arange(TERMS)
    while len(kept):
        found = np.linalg.solve(products[np.ix_(kept, kept)], targets[kept])
        if (found >= 0.0).all():
            weights[kept] = found
            break
        kept = kept[found > 0.0]
    return weights


def _terms(prompt: Floats, context: Floats | float, decodes: Floats, kv: Floats) -> Floats:
    thousands = prompt * THOUSAND
    return np.stack(
        [
            (decodes > 0).astype(np.float64),
            (prompt > 0).astype(np.float64),
            thousands,
            thousands * thousands,
            thousands * (context * THOUSAND),
            decodes,
            kv * MILLION,
        ],
        axis=-1,
    )
