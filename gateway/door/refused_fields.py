"""Names that are refused: ours alone, and features that Baton does not offer.

Any other unknown name is accepted, ignored and told in a header, because clients send many.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.door.fields import Fields
from protocol.errors import InvalidRequest, NotOffered

INTERNAL = frozenset({
    "attempt", "bootstrap_host", "bootstrap_port", "bootstrap_room", "data_parallel_rank",
    "decode_worker", "incarnation", "kv_transfer_params", "prefill_worker", "salt", "tenant",
    "transfer_id", "worker", "worker_id",
})  # fmt: skip

NOT_OFFERED: Mapping[str, tuple[object, ...]] = {
    "add_generation_prompt": (True,),
    "allowed_token_ids": (),
    "audio": (),
    "bad_words": ([],),
    "best_of": (1,),
    "chat_template": (),
    "continue_final_message": (False,),
    "documents": ([],),
    "echo": (False,),
    "function_call": ("none",),
    "functions": ([],),
    "grammar": (),
    "guided_choice": (),
    "guided_decoding_backend": (),
    "guided_grammar": (),
    "guided_json": (),
    "guided_regex": (),
    "include_stop_str_in_output": (False,),
    "logits_processors": ([],),
    "min_tokens": (0,),
    "modalities": (["text"],),
    "prompt_embeds": (),
    "prompt_logprobs": (),
    "regex": (),
    "stop_token_ids": ([],),
    "structured_outputs": (),
    "suffix": ("",),
    "truncate_prompt_tokens": (),
    "truncation": ("disabled",),
    "use_beam_search": (False,),
    "web_search_options": (),
}
"""Feature to the values that ask for nothing."""


def check_refused(fields: Fields) -> None:
    """Raises InvalidRequest or NotOffered, with the name."""
    for name in fields.names():
        if name in INTERNAL:
            raise InvalidRequest(f"'{name}' is internal and may not be sent", param=name)
        if name in NOT_OFFERED and not _harmless(fields.value(name), NOT_OFFERED[name]):
            raise NotOffered(f"Baton does not offer '{name}'", param=name)
    _check_format(fields)


def _harmless(value: object, allowed: tuple[object, ...]) -> bool:
    """Equal in type too: `0` is not `False`."""
    return any(type(value) is type(one) and value == one for one in allowed)


def _check_format(fields: Fields) -> None:
    wanted = fields.inner("response_format")
    if wanted is None:
        return
    form = wanted.text("type", 64)
    if form != "text":
        raise NotOffered(f"Baton does not offer response_format {form!r}", param="response_format")
