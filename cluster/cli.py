"""The `baton` command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cluster.apply import apply_spec
from cluster.chat import Chat
from cluster.down import stop_cluster
from cluster.endpoint import running_cluster
from cluster.interrupts import Interrupted
from cluster.replay_command import run_replay
from cluster.run_folder import RunFolder
from cluster.screen import Screen
from cluster.spec import EngineKind, PoolsSpec, Spec
from cluster.spec_reader import read_spec
from cluster.spec_rules import check_rules
from cluster.status_view import fetch_status, status_table
from cluster.up import run_cluster
from protocol.errors import BatonError, InvalidSpec
from replay.settings import PolicyName

INTERRUPTED = 130
"""As shells have it for Ctrl-C."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Serve a language model with separate prefill and decode workers.",
    pretty_exceptions_enable=False,
)


@app.command()
def up(
    spec: Annotated[Path | None, typer.Argument(metavar="SPEC.yaml", help="What to start.")] = None,
    model: Annotated[str | None, typer.Option(help="Model folder, or name on the hub.")] = None,
    prefill: Annotated[int | None, typer.Option(min=0, help="Prefill workers.")] = None,
    decode: Annotated[int | None, typer.Option(min=1, help="Decode workers.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65534, help="Port of the endpoint.")] = None,
    engine: Annotated[
        EngineKind | None, typer.Option(help="torch, or modelled: nothing is computed.")
    ] = None,
    speedup: Annotated[float | None, typer.Option(help="Of modelled engines: so many times faster.")] = None,
) -> None:
    """Start a cluster on this machine and keep it until Ctrl-C."""
    screen = Screen()
    with _one_sentence(screen):
        wanted = _modelled(read_spec(spec) if spec else Spec(), engine, speedup)
        wanted = _overridden(wanted, model, prefill, decode, port)
        run_cluster(wanted, RunFolder.of_user(), screen)


@app.command()
def apply(spec: Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="What to serve now.")]) -> None:
    """Change the running cluster: counts of workers, their cores, KV memory, scheduling."""
    screen = Screen()
    with _one_sentence(screen):
        apply_spec(read_spec(spec), RunFolder.of_user(), screen)


@app.command()
def down() -> None:
    """Stop the cluster that `baton up` started."""
    screen = Screen()
    with _one_sentence(screen):
        stop_cluster(RunFolder.of_user(), screen)


@app.command()
def status() -> None:
    """Show pools, workers and KV use."""
    screen = Screen()
    with _one_sentence(screen):
        state = running_cluster(RunFolder.of_user())
        now = fetch_status(state.endpoint)
        ready = "ready" if now.ready else "not ready"
        screen.say(f"{now.model} at {state.endpoint}: {ready}, context {now.max_model_len} tokens")
        screen.out.print(status_table(now))


@app.command()
def chat(
    message: Annotated[str | None, typer.Option(help="Ask once, print the answer, end.")] = None,
    system: Annotated[str, typer.Option(help="System message.")] = "",
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    temperature: Annotated[float, typer.Option(min=0.0, max=2.0, help="0 is greedy.")] = 0.0,
) -> None:
    """Talk to the cluster; after each turn see where its time went."""
    screen = Screen()
    with _one_sentence(screen):
        talk = Chat(running_cluster(RunFolder.of_user()), screen, max_tokens, temperature, system)
        if message is None:
            talk.converse()
        else:
            talk.say(message)


@app.command()
def replay(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="Mooncake JSON lines, or Azure CSV.")],
    spec: Annotated[
        Path | None, typer.Option(metavar="SPEC.yaml", help="Pools and bounds of a step; else the default.")
    ] = None,
    policy: Annotated[PolicyName, typer.Option(help="Who decides.")] = PolicyName.OURS,
    prefill: Annotated[int | None, typer.Option(min=0, help="Prefill workers, instead of the spec.")] = None,
    decode: Annotated[int | None, typer.Option(min=1, help="Decode workers, instead of the spec.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Requests a second, on average; else as recorded.")
    ] = None,
    requests: Annotated[
        int | None, typer.Option(min=1, help="How many; a trace that is too short is repeated.")
    ] = None,
    kv_tokens: Annotated[int, typer.Option(min=1024, help="KV room of one worker, in tokens.")] = 2_000_000,
) -> None:
    """Replay a request trace in virtual time, with modelled engines and Baton's planner."""
    screen = Screen()
    with _one_sentence(screen):
        wanted = _overridden(Spec() if spec is None else read_spec(spec), None, prefill, decode, None)
        run_replay(screen, trace, wanted, policy, rate, requests, kv_tokens)


def _modelled(spec: Spec, engine: EngineKind | None, speedup: float | None) -> Spec:
    """The spec with the engine that the command line wants."""
    if engine is not None:
        spec = replace(spec, engine=engine)
    if speedup is not None:
        if not 0.001 <= speedup <= 100_000:
            raise InvalidSpec(
                f"--speedup {speedup:g}: write a number of 0.001 to 100000", param="mock.speedup"
            )
        spec = replace(spec, mock=replace(spec.mock, speedup=speedup))
    return spec


def _overridden(
    spec: Spec, model: str | None, prefill: int | None, decode: int | None, port: int | None
) -> Spec:
    """The spec with what the command line says instead."""
    if model is not None:
        spec = replace(spec, model=model, served_name="")
    pools = PoolsSpec(
        prefill=spec.pools.prefill if prefill is None else replace(spec.pools.prefill, replicas=prefill),
        decode=spec.pools.decode if decode is None else replace(spec.pools.decode, replicas=decode),
    )
    gateway = spec.gateway if port is None else replace(spec.gateway, port=port)
    spec = replace(spec, pools=pools, gateway=gateway)
    check_rules(spec)
    return spec


@contextmanager
def _one_sentence(screen: Screen) -> Iterator[None]:
    """What goes wrong is told in one sentence, and the exit status is not 0."""
    try:
        yield
    except BatonError as wrong:
        screen.fail(wrong.message)
        raise typer.Exit(1) from wrong
    except (Interrupted, KeyboardInterrupt) as asked:
        screen.end_stage()
        raise typer.Exit(INTERRUPTED) from asked
