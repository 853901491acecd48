"""Answers of /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.door.call import Call
from gateway.door.logprobs_json import chat_logprobs
from gateway.door.shape import Answer
from gateway.door.usage import Json
from gateway.text.text_tokenizer import TextTokenizer
from gateway.text.tool_call import ToolCall
from gateway.text.transcript import Piece, SpokenToken


class ChatShape:
    """Knows which sequences have begun and how many tools each has called."""

    def __init__(self, call: Call, tokenizer: TextTokenizer, new_id: Callable[[], str]) -> None:
        self._call = call
        self._tokenizer = tokenizer
        self._new_id = new_id
        self._begun = [False] * len(call.requests)
        self._calls = [0] * len(call.requests)

    def chunk(self, number: int, piece: Piece) -> Json:
        """The first one of a sequence also says who speaks."""
        delta: Json = {}
        if not self._begun[number]:
            self._begun[number] = True
            delta["role"] = "assistant"
            delta["content"] = piece.text
        elif piece.text:
            delta["content"] = piece.text
        if piece.calls:
            delta["tool_calls"] = self._numbered(number, piece.calls)
        choice: Json = {
            "index": number,
            "delta": delta,
            "logprobs": self._logprobs(piece.tokens) if piece.tokens else None,
            "finish_reason": piece.ending.value if piece.ending else None,
        }
        return self._head("chat.completion.chunk", [choice])

    def empty_chunk(self) -> Json:
        """No choices."""
        return self._head("chat.completion.chunk", [])

    def whole(self, answers: Sequence[Answer]) -> Json:
        """All choices."""
        return self._head("chat.completion", [self._choice(n, answer) for n, answer in enumerate(answers)])

    def _choice(self, number: int, answer: Answer) -> Json:
        text = "".join(answer.parts)
        message: Json = {"role": "assistant", "content": text, "refusal": None}
        if answer.calls:
            message["content"] = text if text.strip() else None
            message["tool_calls"] = [self._tool_call(call) for call in answer.calls]
        wanted = self._call.ask.sampling.logprobs is not None
        return {
            "index": number,
            "message": message,
            "logprobs": self._logprobs(answer.tokens) if wanted else None,
            "finish_reason": answer.ending.value if answer.ending else None,
        }

    def _numbered(self, number: int, calls: Sequence[ToolCall]) -> list[Json]:
        first = self._calls[number]
        self._calls[number] += len(calls)
        return [{"index": first + place, **self._tool_call(call)} for place, call in enumerate(calls)]

    def _tool_call(self, call: ToolCall) -> Json:
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": f"call_{self._new_id()}", "type": "function", "function": function}

    def _logprobs(self, tokens: Sequence[SpokenToken]) -> Json:
        return chat_logprobs(tokens, self._tokenizer)

    def _head(self, kind: str, choices: list[Json]) -> Json:
        return {
            "id": f"chatcmpl-{self._call.id}",
            "object": kind,
            "created": self._call.created,
            "model": self._call.model,
            "system_fingerprint": self._call.fingerprint or None,
            "choices": choices,
        }
