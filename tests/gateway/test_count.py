"""What a scrape says of a count is what Prometheus' own counter would say."""

from __future__ import annotations

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gateway.count import Count


def scraped(registry: CollectorRegistry) -> list[str]:
    """Without the time of creation."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


def test_a_scrape_is_that_of_the_library() -> None:
    """Before the first and after some."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Count("tokens", "Some.", {"model": "m"}, ours)
    library = prometheus_client.Counter("tokens", "Some.", ("model",), registry=theirs).labels("m")
    assert scraped(ours) == scraped(theirs)
    for by in (1, 7):
        mine.inc(by)
        library.inc(by)
    assert scraped(ours) == scraped(theirs)


def test_a_name_is_taken_once() -> None:
    """Two metrics of one name would be one to whoever scrapes."""
    registry = CollectorRegistry()
    Count("tokens", "Some.", {}, registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Count("tokens", "Some.", {}, registry)
