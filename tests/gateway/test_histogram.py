"""What a scrape says is what Prometheus' own histogram would say."""

from __future__ import annotations

import math

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from gateway.histogram import Histogram

BOUNDS = (0.001, 0.0025, 0.5, 10.0)
VALUES = st.one_of(st.sampled_from([0.0, *BOUNDS]), st.floats(0.0, 100.0))


def samples(registry: CollectorRegistry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Name and labels of each, without the time of creation."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), VALUES, st.integers(1, 5)), min_size=1))
def test_a_scrape_is_that_of_the_library(observed: list[tuple[str, float, int]]) -> None:
    """The same buckets, counts and sums for the same values."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Histogram("seconds", "Some.", ("kind",), BOUNDS, ours)
    library = prometheus_client.Histogram("seconds", "Some.", ("kind",), registry=theirs, buckets=BOUNDS)
    for kind, value, times in observed:
        mine.series(kind).observe(value, times)
        for _ in range(times):
            library.labels(kind).observe(value)
    found, expected = samples(ours), samples(theirs)
    assert found.keys() == expected.keys()
    assert all(math.isclose(found[key], expected[key]) for key in found)


def test_a_name_is_taken_once() -> None:
    """Two metrics of one name would be one to whoever scrapes."""
    registry = CollectorRegistry()
    Histogram("seconds", "Some.", (), BOUNDS, registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Histogram("seconds", "Some.", (), BOUNDS, registry)
