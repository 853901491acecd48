"""The library peer: transformers' continuous batching. A script of its own, so that it can be run by
another environment's python: `python peer_transformers.py MODEL < job.json`.

The job: {"prompts": [[ids]], "max_tokens": n, "warm_up": [ids], "device": "cpu" or "cuda"}. On a device
batches are prepared asynchronously, and a request's tokens are handed out at its end.
The answer, the last line of output:
{"version": str, "answers": [{"sent_s", "arrived_s", "tokens"}]}.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

PAGE = 256
BATCH_TOKENS = 2048
"""Prompt tokens of one step."""


def main() -> None:
    """Runs the job on standard input."""
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

    job = json.load(sys.stdin)
    prompts, count = job["prompts"], job["max_tokens"]
    model = AutoModelForCausalLM.from_pretrained(
        sys.argv[1], dtype=torch.bfloat16, attn_implementation="sdpa"
    )
    on_device = job["device"] != "cpu"
    model.to(job["device"]).eval()
    # Below a fifth of free pages it reads no more prompts, and the batch would never be full.
    pages = 2 * sum(-(-(len(one) + count) // PAGE) for one in prompts) + 8
    config = ContinuousBatchingConfig(num_blocks=pages, max_batch_tokens=BATCH_TOKENS, page_size=PAGE)
    if on_device:
        config.use_async_batching = True
    greedy = GenerationConfig(do_sample=False, max_new_tokens=count)
    with (
        torch.no_grad(),
        model.continuous_batching_context_manager(
            generation_config=greedy, continuous_batching_config=config
        ) as manager,
    ):
        run(manager, [job["warm_up"]], 2)
        answers = run(manager, prompts, count, streaming=not on_device)
    print(json.dumps({"version": transformers.__version__, "answers": answers}))


def run(
    manager: Any, prompts: list[list[int]], count: int, streaming: bool = True
) -> list[dict[str, object]]:
    """All prompts at once; the time of each token as the manager hands it out."""
    sent = time.perf_counter()
    names = [manager.add_request(one, max_new_tokens=count, streaming=streaming) for one in prompts]
    arrived: dict[str, list[float]] = {name: [] for name in names}
    seen = dict.fromkeys(names, 0)
    open_names = set(names)
    while open_names:
        output = manager.get_result(timeout=600.0)
        now = time.perf_counter()
        if output is None:
            raise TimeoutError("no token in 600 s")
        if output.error:
            raise RuntimeError(output.error)
        fresh = len(output.generated_tokens) - seen[output.request_id]
        seen[output.request_id] += fresh
        arrived[output.request_id] += [now] * fresh
        if output.is_finished():
            open_names.discard(output.request_id)
    return [{"sent_s": sent, "arrived_s": arrived[name], "tokens": seen[name]} for name in names]


if __name__ == "__main__":
    main()
