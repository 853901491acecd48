"""The block keys of one request, each hashed once however often it is planned."""

from __future__ import annotations

from array import array
from collections.abc import Sequence as Seq

from protocol.block_hash import chain_root, hash_chain
from protocol.ids import BlockHash
from router.block_keys import Keys, chain_keys


class PromptChain:
    """Of a prompt and of the tokens that were generated after it, for blocks of one kind."""

    def __init__(self, fingerprint: str, block_size: int, salt: bytes) -> None:
        """As the workers' records and the request say."""
        self.fingerprint = fingerprint
        self.block_size = block_size
        self._last: BlockHash = chain_root(fingerprint.encode(), salt)
        self._hashes: list[BlockHash] = []
        self._keys = chain_keys(())

    def keys(self, prompt: Seq[int], sent: Seq[int]) -> Keys:
        """Of the full blocks that may be found: at least one token is always computed. Tokens that were
        given before must not have changed."""
        blocks = (len(prompt) + len(sent) - 1) // self.block_size
        if blocks > len(self._hashes):
            self._extend(prompt, sent, blocks)
        return self._keys

    def _extend(self, prompt: Seq[int], sent: Seq[int], blocks: int) -> None:
        first = len(self._hashes) * self.block_size
        words = array("I", prompt[first:])
        words.extend(sent[max(0, first - len(prompt)) :])
        self._hashes += hash_chain(self._last, words[: blocks * self.block_size - first], self.block_size)
        self._last = self._hashes[-1]
        self._keys = chain_keys(self._hashes)
