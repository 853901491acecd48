"""`baton up` on this machine: one cluster through its life, as its users see it."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import pytest

from cluster.run_processes import processes_of
from tests.cluster.baton_process import BatonProcess, baton_up
from tests.cluster.listeners import beyond_loopback, open_listeners

READY = "Ctrl-C stops the cluster."
END_S = 10.0
MEND_S = 90.0
PREFILL_ENGINE = '"role":"prefill"'
DECODE_ENGINE = '"role":"decode"'


@pytest.fixture(scope="module")
def baton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatonProcess]:
    """One prefill and one decode worker, ready, every prompt on the first; the last test of this file stops
    them."""
    spec = tmp_path_factory.mktemp("up") / "spec.yaml"
    spec.write_text("gateway: {local_prefill: false}", encoding="utf-8")
    with baton_up(str(spec)) as started:
        started.wait_until(lambda output: READY in output)
        yield started


@pytest.fixture
def client(baton: BatonProcess) -> Iterator[openai.OpenAI]:
    """The official client; its connections end with the test."""
    with openai.OpenAI(base_url=f"{baton.endpoint}/v1", api_key="none", max_retries=0) as opened:
        yield opened


def long_stream(client: openai.OpenAI, tokens: int = 4000) -> openai.Stream[openai.types.Completion]:
    """A long answer, of which the first token has come."""
    stream = client.completions.create(
        model="baton-tiny",
        prompt="Once upon a time",
        max_tokens=tokens,
        temperature=0,
        stream=True,
        extra_body={"ignore_eos": True},
    )
    next(iter(stream))
    return stream


def metric(baton: BatonProcess, name: str, **labels: str) -> float:
    """A value of /metrics, added up over all series with these labels."""
    text = httpx.get(f"{baton.endpoint}/metrics", timeout=10.0).text
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    lines = [line for line in text.splitlines() if re.match(rf"{name}[{{ ]", line)]
    assert lines, f"no metric {name} in\n{text}"
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(label in line for label in wanted))


def eventually(true: Callable[[], bool], within_s: float) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def answers(baton: BatonProcess) -> bool:
    """Whether a completion comes back whole."""
    body = {"model": "baton-tiny", "prompt": "Hello", "max_tokens": 4, "temperature": 0}
    try:
        return httpx.post(f"{baton.endpoint}/v1/completions", json=body, timeout=30.0).status_code == 200
    except httpx.HTTPError:
        return False


def process_with(baton: BatonProcess, mark: str) -> int | None:
    """The process of the run whose command line contains `mark`."""
    for pid in processes_of(baton.run_id):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it ended just now
        if mark in line:
            return pid
    return None


def kill_with(baton: BatonProcess, mark: str) -> int:
    """Kills that process; its number."""
    pid = process_with(baton, mark)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def apply(baton: BatonProcess, folder: Path, spec: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """`baton apply` with this spec."""
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec), encoding="utf-8")  # JSON is YAML
    return baton.command("apply", str(path))


def test_printed_curl_works(baton: BatonProcess) -> None:
    """What `baton up` prints for pasting is a call that is answered."""
    (line,) = [line for line in baton.output().splitlines() if line.strip().startswith("curl ")]
    words = shlex.split(line)
    name, value = words[words.index("-H") + 1].split(": ")
    answer = httpx.post(words[1], content=words[words.index("-d") + 1], headers={name: value}, timeout=60.0)
    assert answer.status_code == 200, answer.text
    assert len(answer.headers.get_list("x-request-id")) == 1
    assert answer.json()["choices"][0]["message"]["role"] == "assistant"


def test_openai_package_streams_a_chat(baton: BatonProcess, client: openai.OpenAI) -> None:
    """The official client streams a chat completion through gateway, prefill and decode, and its KV
    went over the transfer and was verified."""
    before = metric(baton, "baton_kv_transferred_blocks_total")
    text = "The code of Anna is 4711. " * 8 + "What is the code of Anna?"
    stream = client.chat.completions.create(
        model="baton-tiny",
        messages=[{"role": "user", "content": text}],
        max_tokens=24,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.completion_tokens == 24
    blocks = before + usage.prompt_tokens // 16
    assert eventually(lambda: metric(baton, "baton_kv_transferred_blocks_total") >= blocks, 2.0)
    assert metric(baton, "baton_kv_failed_verifications_total") == 0


def test_disconnect_gives_blocks_back(baton: BatonProcess, client: openai.OpenAI) -> None:
    """A client that closes its socket within the stream frees its blocks within a second."""
    stream = long_stream(client)
    assert eventually(lambda: metric(baton, "baton_worker_kv_blocks", owner="request") > 0, 5.0)
    stream.response.close()
    assert eventually(lambda: metric(baton, "baton_worker_kv_blocks", owner="request") == 0, 1.0)
    assert answers(baton)


def test_other_commands_find_the_cluster(baton: BatonProcess) -> None:
    """status shows both pools, chat answers with its times, and a second up is refused."""
    status = baton.command("status")
    assert status.returncode == 0, status.stderr
    assert "decode-0" in status.stdout
    assert "prefill-0" in status.stdout
    chat = baton.command("chat", "--message", "Hello", "--max-tokens", "8")
    assert chat.returncode == 0, chat.stderr
    assert re.search(r"first token .*prefill .* tokens/s · prompt \d+ tokens, \d+ cached", chat.stdout)
    second = baton.command("up", "--port", "1")
    assert second.returncode == 1
    assert f"already at {baton.endpoint}" in second.stderr


def test_nothing_listens_beyond_this_machine(baton: BatonProcess) -> None:
    """Gateway, links, transfer agents and every daemon of Ray listen on the loopback alone."""
    pids = processes_of(baton.run_id)
    assert baton.port in [port for _, port in open_listeners(pids)]
    assert beyond_loopback(pids) == []


def test_apply_scales_a_pool(baton: BatonProcess, client: openai.OpenAI, tmp_path: Path) -> None:
    """`baton apply` adds a decode worker and drains one again; the worker that stays is not restarted,
    the answer that is being streamed comes whole, and what cannot change is refused by name."""
    first = process_with(baton, DECODE_ENGINE)
    stream = long_stream(client, 1000)
    assert apply(baton, tmp_path, {"pools": {"decode": {"replicas": 2}}}).returncode == 0
    assert eventually(lambda: "decode-1" in baton.command("status").stdout, MEND_S)
    assert process_with(baton, DECODE_ENGINE) == first
    assert apply(baton, tmp_path, {}).returncode == 0
    assert eventually(lambda: baton.command("status").stdout.count("decode-") == 1, MEND_S)
    assert [chunk.choices[0].finish_reason for chunk in stream if chunk.choices][-1] == "length"
    assert answers(baton)
    refused = apply(baton, tmp_path, {"dtype": "bf16"})
    assert (refused.returncode, "dtype cannot change" in refused.stderr) == (1, True)


def test_killed_prefill_engine_fails_no_request(baton: BatonProcess) -> None:
    """When a prefill engine is killed, requests are answered without it, and it is replaced."""
    killed = kill_with(baton, PREFILL_ENGINE)
    assert all(answers(baton) for _ in range(10))
    assert eventually(lambda: process_with(baton, PREFILL_ENGINE) not in (None, killed), MEND_S)
    assert eventually(lambda: "prefill-0" in baton.command("status").stdout, MEND_S)
    assert answers(baton)


def test_killed_gateway_comes_back_on_its_port(baton: BatonProcess) -> None:
    """When the only gateway is killed, another one takes over the same endpoint, although a client
    still holds its connection to the first."""
    with httpx.Client() as idle:
        assert idle.get(f"{baton.endpoint}/health").status_code == 200
        kill_with(baton, "ServeReplica:baton:Gateway")
        assert eventually(lambda: answers(baton), MEND_S)


def test_ctrl_c_leaves_nothing(baton: BatonProcess, client: openai.OpenAI) -> None:
    """Ctrl-C ends with status 0, without process, port or state, within ten seconds, also while an
    answer is being streamed."""
    stream = long_stream(client)
    baton.interrupt()
    assert baton.process.wait(END_S) == 0
    stream.response.close()
    assert baton.left() == ()
    assert "ray" not in baton.output()  # what libraries say is in the logs
    assert baton.command("status").returncode == 1
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{baton.endpoint}/health")
