"""The official client reads every answer, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk

from gateway.door.door_parts import DoorParts
from protocol.errors import Overloaded, WorkerLost
from tests.gateway.door.door_kit import parts, served
from tests.gateway.door.scripted_generator import ScriptedGenerator

USER: Any = [{"role": "user", "content": "hi"}]
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "Köln"}}</tool_call>'
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


@asynccontextmanager
async def sdk(made: DoorParts) -> AsyncIterator[AsyncOpenAI]:
    """The client as people use it, but without patience."""
    async with served(made) as port:
        url = f"http://127.0.0.1:{port}/v1"
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            yield client


def text_of(chunks: list[ChatCompletionChunk], index: int = 0) -> str:
    """What one choice said."""
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


async def test_a_chat_whole() -> None:
    """Text, ending, usage with cached tokens, model, id and request id."""
    async with sdk(parts()) as client:
        answer = await client.chat.completions.create(model="tiny", messages=USER)
    assert answer.choices[0].message.content == "hello world"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.model, answer.system_fingerprint) == ("tiny", "fp")
    assert answer.id.startswith("chatcmpl-") and answer._request_id
    usage = answer.usage
    assert usage is not None and usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 3
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens > 2


async def test_a_chat_streamed() -> None:
    """One chunk per token event; the role first; the usage on the chunk that ends the answer."""
    generator = ScriptedGenerator()
    async with sdk(parts(generator)) as client:
        stream = await client.chat.completions.create(model="tiny", messages=USER, stream=True)
        chunks = [chunk async for chunk in stream]
    assert text_of(chunks) == "hello world"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == generator.told
    assert len({chunk.id for chunk in chunks}) == 1 and len(chunks) <= generator.told


async def test_usage_in_a_chunk_of_its_own_when_asked() -> None:
    """`include_usage`: no choices in the last chunk, a null usage in all others, so that sums are right."""
    async with sdk(parts()) as client:
        stream = await client.chat.completions.create(
            model="tiny", messages=USER, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert all(chunk.usage is None for chunk in chunks[:-1])


@pytest.mark.parametrize("stream", [True, False])
async def test_n_answers_are_n_requests(stream: bool) -> None:
    """Choices 0 to n-1 of one seed, each whole, the prompt counted once."""
    generator = ScriptedGenerator(reply=lambda request: f"answer {request.sampling.choice}")
    async with sdk(parts(generator)) as client:
        if stream:
            chunks = [
                chunk
                async for chunk in await client.chat.completions.create(
                    model="tiny", messages=USER, n=3, stream=True, seed=5
                )
            ]
            texts = [text_of(chunks, index) for index in range(3)]
            usages = [chunk.usage for chunk in chunks if chunk.usage]
            assert len(usages) == 1 and chunks[-1].usage is not None
            usage = usages[0]
        else:
            answer = await client.chat.completions.create(model="tiny", messages=USER, n=3, seed=5)
            texts = [choice.message.content or "" for choice in answer.choices]
            assert answer.usage is not None
            usage = answer.usage
    assert texts == ["answer 0", "answer 1", "answer 2"]
    assert [request.sampling.choice for request in generator.requests] == [0, 1, 2]
    assert [request.sampling.seed for request in generator.requests] == [5, 5, 5]
    assert len({request.id for request in generator.requests}) == 3
    assert usage.prompt_tokens == len(generator.requests[0].prompt)
    assert usage.completion_tokens == generator.told


@pytest.mark.parametrize("stream", [True, False])
async def test_tool_calls(stream: bool) -> None:
    """Name and arguments whole, an id, finish_reason tool_calls."""
    async with sdk(parts(ScriptedGenerator(CALL + CALL))) as client:
        create: Any = client.chat.completions.create
        answer = await create(model="tiny", messages=USER, tools=TOOLS, stream=stream)
        if stream:
            chunks = [chunk async for chunk in answer]
            calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
            assert [call.index for call in calls] == [0, 1]
            ending = chunks[-1].choices[0].finish_reason
            assert text_of(chunks) == ""
        else:
            calls = answer.choices[0].message.tool_calls
            ending = answer.choices[0].finish_reason
            assert answer.choices[0].message.content is None
    assert ending == "tool_calls"
    assert [call.function.name for call in calls] == ["weather", "weather"]
    assert calls[0].function.arguments == '{"city": "Köln"}'
    assert calls[0].id != calls[1].id


async def test_tools_that_may_not_be_called() -> None:
    """`none` leaves them out of the prompt, and marked text stays text; without parallel calls
    the first call ends the answer."""
    generator = ScriptedGenerator(CALL + CALL)
    async with sdk(parts(generator)) as client:
        create: Any = client.chat.completions.create
        none = await create(model="tiny", messages=USER, tools=TOOLS, tool_choice="none")
        one = await create(model="tiny", messages=USER, tools=TOOLS, parallel_tool_calls=False)
    assert none.choices[0].message.content == CALL + CALL
    assert len(generator.requests[0].prompt) < len(generator.requests[1].prompt)
    assert len(one.choices[0].message.tool_calls) == 1
    assert generator.open == 0


async def test_a_conversation_with_a_tool_result() -> None:
    """What the model called and what came of it are in the next prompt."""
    async with sdk(parts(generator := ScriptedGenerator())) as client:
        call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"a": 1}'}}
        messages: Any = [
            {"role": "developer", "content": "Be brief."},
            *USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "rain"}]},
        ]
        await client.chat.completions.create(model="tiny", messages=messages, tools=TOOLS)
    tokenizer = parts().text.tokenizer
    prompt = "".join(tokenizer.token_bytes(token).decode() for token in generator.requests[0].prompt)
    assert '<tool_call>{"name": "weather", "arguments": {"a": 1}}</tool_call>' in prompt
    assert "<|system|>Be brief." in prompt and "<|tool|>rain" in prompt


async def test_logprobs_of_a_chat() -> None:
    """One entry per token, with bytes and the likeliest others."""
    async with sdk(parts(ScriptedGenerator("a😀"))) as client:
        answer = await client.chat.completions.create(
            model="tiny", messages=USER, logprobs=True, top_logprobs=2
        )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None and answer.usage is not None
    assert len(logprobs.content) == answer.usage.completion_tokens
    spelled = b"".join(bytes(entry.bytes or []) for entry in logprobs.content)
    assert spelled.startswith("a😀".encode())
    assert [top.logprob for top in logprobs.content[0].top_logprobs] == [-1.0, -2.0]
    assert logprobs.content[0].logprob == -0.5


@pytest.mark.parametrize("stream", [True, False])
async def test_completions_of_several_prompts(stream: bool) -> None:
    """Text and token ids, prompt by prompt; each prompt draws on its own seed."""
    generator = ScriptedGenerator(reply=lambda request: f"to {len(request.prompt)}")
    async with sdk(parts(generator)) as client:
        create: Any = client.completions.create
        answer = await create(model="tiny", prompt=[[5], [5, 6]], n=2, stream=stream, logprobs=1)
        if stream:
            choices = [choice async for chunk in answer for choice in chunk.choices]
        else:
            choices = answer.choices
    texts = ["".join(choice.text for choice in choices if choice.index == index) for index in range(4)]
    assert texts == ["to 1", "to 1", "to 2", "to 2"]
    seeds = [request.sampling.seed for request in generator.requests]
    assert seeds[0] == seeds[1] != seeds[2] == seeds[3]
    first = next(choice.logprobs for choice in choices if choice.index == 0 and choice.logprobs.tokens)
    assert first.tokens[0] == "to" and first.token_logprobs[0] == -0.5 and first.text_offset[0] == 0


async def test_refusals_are_the_clients_own_exceptions() -> None:
    """Bad request, unknown model, overload with a time to come back."""
    busy = ScriptedGenerator(fails=Overloaded("full", retry_after_s=500.0))
    async with sdk(parts(busy)) as client:
        create: Any = client.chat.completions.create
        with pytest.raises(openai.BadRequestError) as bad:
            await create(model="tiny", messages=USER, temperature=9)
        assert (bad.value.code, bad.value.param) == ("invalid_request", "temperature")
        with pytest.raises(openai.NotFoundError):
            await create(model="other", messages=USER)
        with pytest.raises(openai.InternalServerError) as full:
            await create(model="tiny", messages=USER, stream=True)
        assert full.value.status_code == 503
        assert full.value.response.headers["retry-after"] == "120"


async def test_a_stream_that_breaks_is_an_error_not_an_end() -> None:
    """After the first byte the error is an event, and there is no `[DONE]`."""
    broken = ScriptedGenerator("hello world", fails=WorkerLost("gone"), fails_after=2)
    async with sdk(parts(broken)) as client:
        seen = ""
        with pytest.raises(openai.APIError) as lost:
            async for chunk in await client.chat.completions.create(model="tiny", messages=USER, stream=True):
                seen += chunk.choices[0].delta.content or ""
    assert seen and "hello world".startswith(seen)
    assert lost.value.code == "worker_lost"


async def test_models() -> None:
    """The list, and one by name."""
    async with sdk(parts()) as client:
        listed = await client.models.list()
        one = await client.models.retrieve("tiny")
    assert [model.id for model in listed.data] == ["tiny"]
    assert one.model_dump()["max_model_len"] == 256
