"""A counter for Prometheus that one thread counts, without the locks of its library's own."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class Count(Collector):
    """One metric of one set of labels, for what happens with every token."""

    def __init__(self, name: str, text: str, labels: dict[str, str], registry: CollectorRegistry) -> None:
        """Registers itself; scraped as `name` and `_total`."""
        self._name, self._text, self._labels = name, text, labels
        self._value = 0
        registry.register(self)

    def inc(self, by: int) -> None:
        """So many more."""
        self._value += by

    def describe(self) -> Iterator[Metric]:
        """So that the registry refuses a second one of that name."""
        yield CounterMetricFamily(self._name, self._text, labels=tuple(self._labels))

    def collect(self) -> Iterator[Metric]:
        """As it stands."""
        family = CounterMetricFamily(self._name, self._text, labels=tuple(self._labels))
        family.add_metric(tuple(self._labels.values()), self._value)
        yield family
