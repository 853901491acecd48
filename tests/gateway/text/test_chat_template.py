"""Templates render what transformers would render, and cannot hurt."""

from __future__ import annotations

import pytest

from gateway.text.chat_template import ChatTemplate, Conversation, JsonObject
from protocol.errors import InvalidRequest, UnsupportedModel
from tests.gateway.text.tiny_text import LATER, tiny_text

HELLO: tuple[JsonObject, ...] = ({"role": "user", "content": "hi <b>"},)
TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells it.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def render(source: str, conversation: Conversation) -> str:
    """With one special token known."""
    return ChatTemplate(source, {"bos_token": "<s>"}, lambda: LATER).render(conversation)


def test_the_shipped_template_ends_where_the_assistant_goes_on() -> None:
    """Messages, tools and calls are all in the prompt; nothing is escaped for HTML."""
    template = tiny_text().template
    assert template is not None
    call: JsonObject = {"function": {"name": "weather", "arguments": {"city": "Köln & Ulm"}}}
    messages = (
        *HELLO,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "rain"},
    )
    text = template.render(Conversation(messages, (TOOL,)))
    assert "weather: Tells it.\n- city (string)" in text
    assert '<tool_call>{"name": "weather", "arguments": {"city": "Köln & Ulm"}}</tool_call>' in text
    assert "hi <b>" in text and text.endswith("<|tool|>rain<|end|><|assistant|>")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ bos_token }}{% for m in messages %}{{ m.content }}{% break %}{% endfor %}", "<s>hi <b>"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}", "hi <b>"),
        ("{{ messages | tojson }}", '[{"role": "user", "content": "hi <b>"}]'),
        ("{{ {'a': [1]} | tojson(indent=1) }}", '{\n "a": [\n  1\n ]\n}'),
        ("{{ strftime_now('%Y') }}", "2026"),
        ("{% if tools is none %}none{% endif %}{% if add_generation_prompt %}!{% endif %}", "none!"),
        ("{{ 'on' if enable_thinking else 'off' }}", "on"),
    ],
)
def test_what_templates_in_the_field_use(source: str, expected: str) -> None:
    """Loop controls, generation marks, tojson, dates, switches."""
    assert render(source, Conversation(HELLO, options={"enable_thinking": True})) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages[0].missing.deeper }}",
        "{{ messages[5].content.x }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ 1 / 0 }}",
        "{{ range(1000000000) | list }}",
    ],
)
def test_whatever_a_template_does_wrong_is_one_refusal(source: str) -> None:
    """Complaints, missing values and attempts to leave the sandbox are 400s of the request."""
    with pytest.raises(InvalidRequest, match="chat template"):
        render(source, Conversation(HELLO))


def test_a_template_that_does_not_compile_is_an_unsupported_model() -> None:
    """It fails when the model is loaded, not when the first client asks."""
    with pytest.raises(UnsupportedModel, match="does not compile"):
        render("{% if %}", Conversation(HELLO))
