"""Which workers may be given a request now."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy import count_nonzero  # several times as fast as any()

from router.ask import Ask
from router.cluster_view import Flags, Floats
from router.columns import Columns


@dataclass(frozen=True, slots=True)
class Candidates:
    """All are [places]."""

    prefills: Flags
    decodes: Flags
    local: Flags
    """Decode workers that may compute the prompt."""
    helped: bool
    """There are prefill workers that could compute it, if not now."""
    oversized: bool
    """No decode worker could ever hold it; any may say so."""

    def local_only(self) -> Candidates:
        """Without prefill workers."""
        return replace(self, prefills=np.zeros_like(self.prefills))

    def remote_only(self) -> Candidates:
        """Decode workers compute no prompts."""
        return replace(self, local=np.zeros_like(self.local))

    def room(self, columns: Columns, output: float) -> Floats:
        """KV room as the planner is to see it, in tokens. It would keep some for the growth of all who run;
        here workers do so themselves when they admit, and know better."""
        if self.oversized:
            return np.full(len(columns), math.inf)
        growth: Floats = (columns.running + 1.0) * 0.5 * output
        return columns.free + growth


def candidates(ask: Ask, columns: Columns, avoid: Flags) -> Candidates:
    """`avoid`: workers that failed this request before. Who has just refused a request no larger, and who is
    new and has enough for now, is left out."""
    open_now = columns.usable & (columns.refused > ask.tokens)
    all_decodes = columns.usable & columns.decode
    able = all_decodes & (columns.capacity >= max(ask.tokens, ask.max_total - 1))
    oversized = not count_nonzero(able)
    if not oversized:
        trusted = able & ~avoid
        all_decodes = trusted if count_nonzero(trusted) else able
    prefills = columns.usable & columns.prefill & ~avoid & (columns.capacity >= ask.tokens)
    decodes = _ramped(all_decodes & open_now, columns)
    return Candidates(
        prefills=_ramped(prefills & open_now, columns),
        decodes=decodes,
        local=decodes,
        helped=bool(count_nonzero(prefills)),
        oversized=oversized,
    )


def _ramped(pool: Flags, columns: Columns) -> Flags:
    """Without new workers that have as much as they may have; where all are new, nobody is."""
    return pool & ~columns.restrained if count_nonzero(pool & columns.proven) else pool
