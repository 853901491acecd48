"""The sampling knobs with their ranges."""

from __future__ import annotations

from gateway.door.fields import Fields, kind
from protocol.sampling import Sampling

MAX_TOP_K = 1 << 20


def read_sampling(fields: Fields, vocabulary: int, max_logit_bias: int, logprobs: int | None) -> Sampling:
    """Everything but seed and choice. Raises InvalidRequest that names the field."""
    top_k = fields.integer("top_k", -1, MAX_TOP_K) or 0
    return Sampling(
        seed=0,
        temperature=fields.number("temperature", 1.0, 0.0, 2.0),
        top_k=max(0, top_k),  # vLLM writes "all" as -1
        top_p=fields.number("top_p", 1.0, 0.0, 1.0, above=True),
        min_p=fields.number("min_p", 0.0, 0.0, 1.0),
        presence_penalty=fields.number("presence_penalty", 0.0, -2.0, 2.0),
        frequency_penalty=fields.number("frequency_penalty", 0.0, -2.0, 2.0),
        repetition_penalty=fields.number("repetition_penalty", 1.0, 0.0, 2.0, above=True),
        logit_bias=read_logit_bias(fields, vocabulary, max_logit_bias),
        logprobs=logprobs,
    )


def read_logit_bias(fields: Fields, vocabulary: int, max_entries: int) -> tuple[tuple[int, float], ...]:
    """`{"token id": bias in [-100, 100]}`, ascending by id."""
    biases = fields.inner("logit_bias")
    if biases is None:
        return ()
    if len(biases.names()) > max_entries:
        raise fields.wrong("logit_bias", f"may have at most {max_entries} entries")
    return tuple(sorted(_bias(biases, name, vocabulary) for name in biases.names()))


def _bias(biases: Fields, name: str, vocabulary: int) -> tuple[int, float]:
    if not (name.isascii() and name.isdecimal()) or len(name) > 10 or str(int(name)) != name:
        raise biases.wrong(name[:32], "must be a token id in decimal digits")
    if int(name) >= vocabulary:
        raise biases.wrong(name, f"must be a token id below {vocabulary}")
    value = biases.value(name)
    if type(value) is not int and type(value) is not float:
        raise biases.wrong(name, f"must be a number, not {kind(value)}")
    return int(name), biases.number(name, 0.0, -100.0, 100.0)
