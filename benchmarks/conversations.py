"""Measures what becomes of KV between the turns of conversations: `make bench-conversations`.

Conversations that share a system prompt, on a real cluster of two prefill and two decode workers. They take
turns, one request at a time; beside some of them the same number of tokens is asked for cold.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.box import hardware
from benchmarks.chat_client import Messages, Turn, ask, tokens_of
from benchmarks.engine import tell
from benchmarks.figures import percentile
from benchmarks.report import Reach, Report, Row, at_least, at_most
from benchmarks.server import RunningServer, ServerCommand, ServerFailed, end_on_sigterm, running_server
from benchmarks.stream_client import AnswerFailed, Endpoint
from cluster.default_model import DEFAULT_MODEL
from cluster.preflight import free_port

NAME, SYSTEM, BLOCK = "bench", "Baton 2+2", 16
ANSWER_TOKENS = 48
NOTES = 60
"""In a system prompt."""
REUSED, WARM_SHARE = 0.9, 0.4
THINGS = ("boat", "cellar", "kitchen", "garden", "letter", "bridge", "market", "window")


@dataclass(slots=True)
class Talk:
    """One conversation, and the tokens whose KV its last turn has left in the cluster."""

    number: int
    messages: Messages
    known: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Heard:
    """One turn, how many tokens of it were in the cluster already, and the same asked cold."""

    turn: int
    told: Turn
    reusable: int
    cold_s: float | None


def system_prompt(label: str) -> str:
    """Another label shares no prefix."""
    notes = (
        f"Note {at}: the {THINGS[at % 8]} {at * 37 % 101} is in room {at * 53 % 97}." for at in range(NOTES)
    )
    return f"House {label}. Answer from these notes. " + " ".join(notes)


def question(talk: int, turn: int) -> str:
    """Another for each turn of each conversation."""
    first, second = (talk * 7 + turn * 11) % NOTES, (talk * 13 + turn * 5) % NOTES
    return (
        f"This is question {turn} of guest {talk}. In which room is the {THINGS[first % 8]} of note {first}, "
        f"and what does note {second} say?"
    )


def common(one: list[int], other: list[int]) -> int:
    """Length of the common prefix."""
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
                min(len(one), len(other)))  # fmt: skip


def reusable(prompt: list[int], known: list[int]) -> int:
    """Tokens of a prompt whose KV exists: whole blocks, and never the last token, which is computed again."""
    return min(common(prompt, known), len(prompt) - 1) // BLOCK * BLOCK


def converse(server: RunningServer, talks: int, turns: int, cold: int) -> list[Heard]:
    """Turn by turn, all conversations in turn; `cold`: how many of them are also asked cold."""
    ask(server.endpoint, _opened("warm-up"), 4)
    shared: list[int] = []
    heard = []
    begun = [Talk(number, [{"role": "system", "content": system_prompt("one")}]) for number in range(talks)]
    for turn in range(turns):
        for talk in begun:
            talk.messages.append({"role": "user", "content": question(talk.number, turn)})
            prompt = tokens_of(server.endpoint, talk.messages)
            there = max(reusable(prompt, known) for known in (talk.known, shared))
            told = ask(server.endpoint, talk.messages, ANSWER_TOKENS)
            cold_s = _cold(server.endpoint, talk, turn) if talk.number < cold else None
            heard.append(Heard(turn, told, there, cold_s))
            talk.messages.append({"role": "assistant", "content": told.text})
            # The last token's own KV is never computed; a text that becomes other tokens is not found again.
            after = tokens_of(server.endpoint, talk.messages)
            talk.known = after[: len(prompt) + told.completion_tokens - 1]
            shared = shared or prompt
    return heard


def _opened(label: str) -> Messages:
    return [{"role": "system", "content": system_prompt(label)}, {"role": "user", "content": question(0, 0)}]


def _cold(endpoint: Endpoint, talk: Talk, turn: int) -> float:
    """Time to first token of the same messages under another system prompt."""
    system = {"role": "system", "content": system_prompt(f"{talk.number}-{turn}")}
    return ask(endpoint, [system, *talk.messages[1:]], 1).ttft_s


def rows_of(heard: list[Heard]) -> list[Row]:
    """By turn, and all later turns together."""
    rows = []
    for turn in sorted({one.turn for one in heard}):
        rows += _rows(f"turn {turn + 1}", [one for one in heard if one.turn == turn])
    return rows + _rows("turns 2 and later", [one for one in heard if one.turn])


def _rows(work: str, heard: list[Heard]) -> list[Row]:
    prompt = sum(one.told.prompt_tokens for one in heard)
    cached = sum(one.told.cached_tokens for one in heard)
    pulled = sum(min(one.told.pulled_tokens, one.told.cached_tokens) for one in heard)
    there = sum(one.reusable for one in heard)
    rows = [
        Row(work, SYSTEM, "prompt tokens, mean", prompt / len(heard), ""),
        Row(work, SYSTEM, "cached, of the reusable", cached / there if there else 0.0, "share"),
        Row(work, SYSTEM, "cached where it was computed", (cached - pulled) / prompt, "share of the prompt"),
        Row(work, SYSTEM, "pulled from another worker", pulled / prompt, "share of the prompt"),
        Row(work, SYSTEM, "computed", (prompt - cached) / prompt, "share of the prompt"),
        Row(work, SYSTEM, "TTFT p50", 1e3 * percentile([one.told.ttft_s for one in heard], 0.5), "ms"),
    ]
    both = [(one.told.ttft_s, one.cold_s) for one in heard if one.cold_s is not None]
    if both:
        warm, cold = (percentile([pair[side] for pair in both], 0.5) for side in (0, 1))
        rows.append(Row(work, SYSTEM, "TTFT p50, cold", 1e3 * cold, "ms"))
        rows.append(Row(work, SYSTEM, "TTFT over cold", warm / cold, "ratio"))
    return rows


def reaches(rows: list[Row]) -> list[Reach]:
    """Both are of the turns that could find something."""
    work = "turns 2 and later"
    values = {row.metric: row.value for row in rows if row.work == work}
    found = [at_least(work, "cached, of the reusable", values["cached, of the reusable"], REUSED)]
    if "TTFT over cold" in values:
        found.append(at_most(work, "TTFT p50 over cold", values["TTFT over cold"], WARM_SHARE))
    return found


def our_server(work: Path, workers: int) -> ServerCommand:
    """Writes the spec below `work` and says how it is started."""
    port, spec = free_port("127.0.0.1"), work / "conversations.yaml"
    pool = {"replicas": workers, "threads": 1}
    document = {
        "model": DEFAULT_MODEL,
        "served_name": NAME,
        "pools": {"prefill": pool, "decode": pool},
        "gateway": {"port": port},
    }
    spec.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    return ServerCommand(
        system=SYSTEM,
        argv=(sys.executable, "-c", "from cluster.cli import app; app(prog_name='baton')", "up", str(spec)),
        endpoint=Endpoint(port, NAME),
        ready_path="/ready",
        environment=(("BATON_RUN_DIR", str(work / "run")),),
    )


def main() -> None:
    """Prints the report."""
    end_on_sigterm()
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks.conversations")
    parser.add_argument("--quick", action="store_true", help="few turns, to see that it works")
    parser.add_argument("--logs", type=Path, help="folder for the servers' logs, with a short name")
    args = parser.parse_args()
    talks, turns, cold = (4, 3, 2) if args.quick else (20, 6, 5)
    start, work = hardware(), args.logs or Path(tempfile.mkdtemp(prefix="bk-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        tell(f"{SYSTEM} starts")
        with running_server(our_server(work, 2), work / "server.log") as server:
            tell(f"{SYSTEM} is measured")
            rows = rows_of(converse(server, talks, turns, cold))
    except (ServerFailed, AnswerFailed, OSError) as wrong:
        sys.exit(f"{SYSTEM} failed: {wrong}")
    notes = (f"{talks} conversations of {turns} turns; load average at the end {os.getloadavg()[0]:.1f}",)
    print(Report("conversations", start, tuple(rows), tuple(reaches(rows)), notes=notes).text())


if __name__ == "__main__":
    main()
