"""What a gateway counts of its own work, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.calibration import predictions
from gateway.count import Count
from gateway.histogram import Histogram, Series
from gateway.record import Record

TTFT_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4)
ITL_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
E2E_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6, 819.2)
PHASE_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class GatewayMetrics:
    """One set of metrics in one registry. Labels are bounded: no client's text becomes one."""

    def __init__(self, registry: CollectorRegistry, model: str) -> None:
        self.registry = registry
        self._model = model
        self._requests = Counter(
            "baton_http_requests", "Answered HTTP calls.", ("path", "status"), registry=registry
        )
        self.open_requests = self._gauge("baton_open_requests", "Sequences being answered now.")
        self.disconnects = self._counter("baton_client_disconnects", "Clients that left early.")
        self.stalls = self._counter("baton_client_stalls", "Clients cut off because they read nothing.")
        self.resent = self._counter("baton_client_retries", "Calls that the client sent again by itself.")
        self.replans = self._counter("baton_replans", "Attempts beyond a sequence's first.")
        self.ignored_fields = self._counter("baton_ignored_fields", "Request fields that were ignored.")
        self.prompt_tokens = self._counter("baton_prompt_tokens", "Prompt tokens of answered sequences.")
        self.cached_tokens = self._counter(
            "baton_cached_prompt_tokens", "Prompt tokens whose KV was there already."
        )
        self.generated_tokens = Count(
            "baton_generation_tokens", "Tokens sent to clients.", {"model": model}, registry
        )
        self.ttft = self._histogram(
            "baton_time_to_first_token_seconds", "From the call's arrival to its first token.", TTFT_S
        )
        self.itl = self._histogram(
            "baton_inter_token_latency_seconds", "Between two tokens of one sequence.", ITL_S
        )
        self.e2e = self._histogram(
            "baton_e2e_request_latency_seconds", "From the call's arrival to the sequence's end.", E2E_S
        )
        self._endings = Counter(
            "baton_sequences_finished", "Ends of sequences.", ("model", "reason"), registry=registry
        )
        self._phases = Histogram(
            "baton_request_phase_seconds",
            "Time of a sequence by phase.",
            ("model", "phase"),
            PHASE_S,
            registry,
        )
        self._errors = Histogram(
            "baton_prediction_error_seconds",
            "How much later or earlier than predicted a phase of a sequence was over.",
            ("model", "phase", "kind"),
            PHASE_S,
            registry,
        )

    def ended(self, record: Record) -> None:
        """What one sequence took in the gateway, and how far that was from what was predicted."""
        for phase, seconds in record.phases.items():
            self.phase(phase.value, seconds)
        for phase, predicted, measured in predictions(record):
            kind = "late" if measured > predicted else "early"
            self._errors.series(self._model, phase.value, kind).observe(abs(measured - predicted))

    def answered(self, path: str, status: int) -> None:
        """Counts one HTTP call; `path` is a known route or `other`."""
        self._requests.labels(path, str(status)).inc()

    def finished(self, reason: str) -> None:
        """Counts the end of one sequence: stop, length, tool_calls, or an error's code."""
        self._endings.labels(self._model, reason).inc()

    def phase(self, name: str, seconds: float) -> None:
        """One phase of one sequence."""
        self._phases.series(self._model, name).observe(seconds)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, ("model",), registry=self.registry).labels(self._model)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, ("model",), registry=self.registry).labels(self._model)

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...]) -> Series:
        return Histogram(name, text, ("model",), bounds, self.registry).series(self._model)
