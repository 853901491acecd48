"""Random bytes are given out once."""

from __future__ import annotations

from cluster.random_bytes import FETCHED, RandomBytes


def test_nothing_is_given_out_twice() -> None:
    """Also where one fetch ends and the next begins, whatever sizes are asked for."""
    random = RandomBytes()
    ids = [random.id() for _ in range(FETCHED // 8)]
    seeds = [random.seed() for _ in range(FETCHED // 4)]
    assert len({*ids}) == len(ids) and len({*seeds}) == len(seeds)
    assert {len(one) for one in ids} == {32}
    assert all(0 <= seed < 1 << 64 for seed in seeds)
