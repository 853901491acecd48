"""One call, ready to be generated: a request for every sequence, and how its tokens become text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.door.ask import Ask
from gateway.door.door_parts import DoorParts
from gateway.door.exchange import Exchange
from gateway.door.identity import session_of
from gateway.text.text_tokenizer import TextTokenizer
from gateway.text.tool_call_parser import ToolCallParser
from gateway.text.transcript import Transcript
from protocol.errors import ContextOverflow, InvalidRequest
from protocol.ids import RequestId
from protocol.request import Request


@dataclass(frozen=True, slots=True)
class Call:
    """Sequences in the client's order: prompt by prompt, and for each its choices."""

    id: str
    model: str
    fingerprint: str
    created: int
    arrival: float
    """When its last byte was here, on the door's clock."""
    built: float
    """When the requests were ready to be generated, on the same clock."""
    requests: tuple[Request, ...]
    ask: Ask
    max_calls: int

    def transcript(self, request: Request, tokenizer: TextTokenizer) -> Transcript:
        """A fresh transcript for one of the requests."""
        return Transcript(
            tokenizer.detokenizer(request.prompt),
            self.ask.stops,
            request.stop_tokens,
            ToolCallParser(self.max_calls) if self.max_calls else None,
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """What the two kinds of call differ in, once their prompts are token ids."""

    ask: Ask
    prompts: tuple[tuple[int, ...], ...]
    default_tokens: int
    """Generated when nobody says how much, or as many as fit."""
    param: str
    """Where the prompt was, for the error."""
    max_calls: int = 0


def build_call(parts: DoorParts, draft: Draft, exchange: Exchange, remaining_s: float) -> Call:
    """Raises ContextOverflow, or InvalidRequest for a prompt without tokens."""
    session = session_of(exchange.header, draft.ask.session)
    call_id = parts.sources.new_id()
    return Call(
        id=call_id,
        model=parts.card.name,
        fingerprint=parts.card.fingerprint,
        created=int(parts.sources.unix_time()),
        arrival=exchange.received,
        built=parts.clock.now(),
        requests=tuple(_requests(parts, draft, call_id, session, remaining_s)),
        ask=draft.ask,
        max_calls=draft.max_calls,
    )


def fit(prompt_tokens: int, draft: Draft, max_context: int) -> int:
    """How many tokens may be generated. Raises ContextOverflow when they cannot fit."""
    room = max_context - prompt_tokens
    wanted = draft.ask.max_tokens or max(1, min(draft.default_tokens, room))
    if wanted > room:
        # Agent frameworks recognise an overflow by this very text.
        raise ContextOverflow(
            f"This model's maximum context length is {max_context} tokens, but your request needs "
            f"{prompt_tokens + wanted} ({prompt_tokens} in the prompt + {wanted} for max_tokens): "
            "prompt is too long. [context_length_exceeded]",
            param=draft.param,
        )
    return wanted


def _requests(
    parts: DoorParts, draft: Draft, call_id: str, session: str, timeout_s: float
) -> Iterator[Request]:
    place = 0
    for prompt in draft.prompts:
        _check_ids(prompt, parts.card.vocabulary, draft.param)
        limit = fit(len(prompt), draft, parts.card.max_context)
        seed = parts.sources.new_seed() if draft.ask.seed is None else draft.ask.seed
        for choice in range(draft.ask.choices):
            yield Request(
                id=RequestId(f"{call_id}-{place}"),
                model=parts.card.name,
                prompt=prompt,
                sampling=draft.ask.sampling_of(seed, choice),
                max_tokens=limit,
                stop_tokens=() if draft.ask.ignore_eos else parts.text.stop_tokens,
                tenant=parts.tenant.name,
                salt=draft.ask.salt,
                session=session,
                priority=draft.ask.priority,
                timeout_s=timeout_s,
            )
            place += 1


def _check_ids(prompt: tuple[int, ...], vocabulary: int, param: str) -> None:
    if not prompt:
        raise InvalidRequest(f"'{param}' holds no tokens", param=param)
    if max(prompt) >= vocabulary:  # a tokenizer may know tokens that the model has no row for
        raise InvalidRequest(f"'{param}' holds a token that the model does not know", param=param)
