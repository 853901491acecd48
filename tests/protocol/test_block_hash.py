"""The block-hash chain: what the prefix caches of all workers and the router agree on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from protocol.block_hash import chain_root, hash_chain, next_hash

TOKENS = st.lists(st.integers(0, 2**32 - 1), max_size=40)
SMALL_TOKENS = st.lists(st.integers(0, 2), max_size=20)
SIZES = st.integers(1, 8)
ROOT = chain_root(b"fingerprint", b"salt")


@given(TOKENS, SIZES)
def test_one_hash_per_full_block(tokens: list[int], size: int) -> None:
    """A full block has a hash; a partial last one has none."""
    assert len(hash_chain(ROOT, tokens, size)) == len(tokens) // size


@given(TOKENS, SIZES)
def test_chain_grows_block_by_block(tokens: list[int], size: int) -> None:
    """Who appends tokens one by one gets the same hashes as who hashes the whole."""
    parent = ROOT
    for place, found in enumerate(hash_chain(ROOT, tokens, size)):
        parent = next_hash(parent, tokens[place * size : (place + 1) * size])
        assert parent == found


@given(SMALL_TOKENS, SMALL_TOKENS, st.integers(1, 4))
def test_equal_hash_means_equal_tokens_from_the_start(one: list[int], other: list[int], size: int) -> None:
    """Two chains agree on exactly the full blocks of their common prefix, and nowhere else."""
    first, second = hash_chain(ROOT, one, size), hash_chain(ROOT, other, size)
    common = 0
    while common < min(len(one), len(other)) and one[common] == other[common]:
        common += 1
    agreed = common // size
    assert first[:agreed] == second[:agreed]
    assert not set(first[agreed:]) & set(second)
    assert not set(second[agreed:]) & set(first)


@given(st.binary(max_size=4), st.binary(max_size=4), st.binary(max_size=4), st.binary(max_size=4))
def test_root_separates_engines_and_tenants(finger: bytes, salt: bytes, finger2: bytes, salt2: bytes) -> None:
    """Another fingerprint or salt is another chain, wherever the bytes of one end and the other begin."""
    same = (finger, salt) == (finger2, salt2)
    assert (chain_root(finger, salt) == chain_root(finger2, salt2)) is same


def test_root_does_not_confuse_where_fingerprint_ends() -> None:
    """Bytes moved from the salt to the fingerprint give another root."""
    assert chain_root(b"model|", b"tenant") != chain_root(b"model", b"|tenant")


def test_chain_is_the_same_in_every_process() -> None:
    """The hash has no secret of the process in it: workers and routers compare these bytes."""
    assert hash_chain(chain_root(b"f", b"s"), [1, 2, 3], 2)[0].hex() == GOLDEN


GOLDEN = "80f7baa803cff1eabdf20a5bb5f2c44fde4699bb5a47483132b582f4e44db3be"
