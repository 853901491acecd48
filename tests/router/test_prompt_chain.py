"""Keys of a prompt are those of the workers' own chains, each hashed once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.sequence import Sequence
from protocol.ids import RequestId
from protocol.request import Assignment, Request
from protocol.sampling import Sampling
from router.block_keys import chain_keys
from router.prompt_chain import PromptChain

TOKENS = st.lists(st.integers(0, 2**31), max_size=60)


@given(
    st.lists(st.integers(0, 2**31), min_size=1, max_size=90),
    st.lists(TOKENS, max_size=4),
    st.integers(1, 17),
    st.binary(max_size=8),
)
def test_equal_to_what_an_engine_looks_up(
    prompt: list[int], answers: list[list[int]], block_size: int, salt: bytes
) -> None:
    """For any prompt, and each time that it is planned again with more tokens sent."""
    chain = PromptChain("some model", block_size, salt)
    sent: list[int] = []
    for more in [[], *answers]:
        sent += more
        found = chain.keys(tuple(prompt), sent)
        request = Request(RequestId("r"), "m", tuple(prompt), Sampling(seed=1), 1000, salt=salt)
        sequence = Sequence(Assignment(request, 1, tuple(sent), 1.0), b"some model", block_size, 1000)
        assert found.tolist() == chain_keys(sequence.findable).tolist()
