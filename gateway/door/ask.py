"""What chat and completions have in common: how to generate, how much, how to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from gateway.door.fields import Fields
from gateway.door.identity import session_field
from gateway.door.model_card import ModelCard
from gateway.door.refused_fields import check_refused
from gateway.door.sampling_fields import read_sampling
from gateway.door.tenant import Tenant
from protocol.limits import Limits
from protocol.sampling import Sampling

MAX_NAME_CHARS = 128


@dataclass(frozen=True, slots=True)
class Ask:
    """The validated knobs of one call."""

    sampling: Sampling
    """Its seed counts only if `seed` is given."""
    seed: int | None
    choices: int
    """Answers per prompt."""
    max_tokens: int | None
    """None: the client leaves it to us."""
    stops: tuple[str, ...]
    ignore_eos: bool
    stream: bool
    include_usage: bool
    priority: int
    salt: bytes
    session: str

    def sampling_of(self, seed: int, choice: int) -> Sampling:
        """The sampling of one sequence."""
        return replace(self.sampling, seed=seed, choice=choice)


def read_ask(fields: Fields, logprobs: int | None, card: ModelCard, tenant: Tenant, limits: Limits) -> Ask:
    """Raises InvalidRequest, or NotOffered for what Baton refuses by name."""
    check_refused(fields)
    options = fields.inner("stream_options")
    include_usage = options.flag("include_usage") if options else False
    sampling = read_sampling(fields, card.vocabulary, limits.max_logit_bias, logprobs)
    return Ask(
        sampling=sampling,
        seed=read_seed(fields),
        choices=fields.integer("n", 1, limits.max_choices) or 1,
        max_tokens=_max_tokens(fields),
        stops=read_stops(fields, limits),
        ignore_eos=fields.flag("ignore_eos"),
        stream=fields.flag("stream"),
        include_usage=include_usage,
        priority=fields.integer("priority", tenant.min_priority, tenant.max_priority) or 0,
        salt=tenant.salt_with(fields.text("cache_salt", MAX_NAME_CHARS) or ""),
        session=session_field(fields),
    )


def read_seed(fields: Fields) -> int | None:
    """64 bits; negative ones count from the top, as OpenAI's are signed."""
    seed = fields.integer("seed", -(1 << 63), (1 << 64) - 1)
    return None if seed is None else seed % (1 << 64)


def read_stops(fields: Fields, limits: Limits) -> tuple[str, ...]:
    """One string or an array of them."""
    value = fields.value("stop")
    if value is None:
        return ()
    stops: Sequence[object] = value if isinstance(value, list) else [value]
    if len(stops) > limits.max_stops:
        raise fields.wrong("stop", f"may have at most {limits.max_stops} entries")
    for stop in stops:
        if not isinstance(stop, str) or not 0 < len(stop) <= limits.max_stop_chars:
            raise fields.wrong("stop", f"must be strings of 1 to {limits.max_stop_chars} characters")
    return tuple(dict.fromkeys(str(stop) for stop in stops))


def _max_tokens(fields: Fields) -> int | None:
    older = fields.integer("max_tokens", 1, 1 << 31)
    newer = fields.integer("max_completion_tokens", 1, 1 << 31)
    return older if newer is None else newer
