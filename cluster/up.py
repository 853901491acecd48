"""`baton up`: from a spec to a cluster that answers, and back to nothing."""

from __future__ import annotations

import atexit
import os
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from cluster.deployments import DECODE, GATEWAY, PREFILL, wanted_replicas
from cluster.interrupts import Interrupted, ignore_interrupts, raise_interrupts
from cluster.keeper import start_keeper
from cluster.preflight import prepared
from cluster.ray_session import RayFailed, RaySession
from cluster.run_folder import RunFolder, RunState
from cluster.run_processes import end_processes
from cluster.screen import Screen
from cluster.spec import Spec
from protocol.errors import BatonError, DeadlineExceeded

POLL_S = 0.2
WATCH_S = 2.0
READY_DEADLINE_S = 1800.0
"""Like the load deadline of a worker."""
STRAGGLER_S = 1.0
SHORT = {GATEWAY: "gateway", PREFILL: "prefill", DECODE: "decode"}


def run_cluster(spec: Spec, folder: RunFolder, screen: Screen) -> None:
    """Starts the cluster, serves until Interrupted is raised, and leaves nothing behind. Raises one
    BatonError if it cannot start."""
    raise_interrupts()
    _end_left_behind(folder)
    with folder.held():
        spec = prepared(spec)
        run_id = uuid.uuid4().hex
        state = RunState(os.getpid(), run_id, _endpoint(spec), spec.name, ready=False)
        folder.write(state)
        with screen.alone(folder.logs / "baton.log"), _session(spec, folder, run_id, screen) as session:
            _start(spec, session, screen)
            folder.write_spec(spec)
            folder.write(RunState(state.pid, run_id, state.endpoint, state.model, ready=True))
            try:
                _announce(spec, screen)
                _watch(session, folder, screen)
            except Interrupted:
                return  # what was asked for


def _end_left_behind(folder: RunFolder) -> None:
    """A run that was killed, and whose keeper was killed too, may still hold ports."""
    left = folder.left_behind()
    if left is not None:
        end_processes(left.run_id, 0.0)


@contextmanager
def _session(spec: Spec, folder: RunFolder, run_id: str, screen: Screen) -> Iterator[RaySession]:
    """A session that ends with all its processes, whatever happens inside."""
    keeper = start_keeper(run_id)
    session = RaySession(spec, folder, run_id)
    try:
        yield session
    finally:
        ignore_interrupts()
        screen.stage("stopping")
        if not session.stop():
            atexit.register(os._exit, 1)  # before Ray's own clean-up, which would hang again
        end_processes(run_id, STRAGGLER_S)
        keeper.kill()
        keeper.wait()
        screen.end_stage()


def _start(spec: Spec, session: RaySession, screen: Screen) -> None:
    screen.stage("starting Ray")
    session.start_ray()
    raise_interrupts()  # ray.init took SIGTERM
    screen.stage("starting Serve")
    session.deploy()
    deadline = time.monotonic() + READY_DEADLINE_S
    wanted = wanted_replicas(spec)
    while not _all_there(session.replicas(), wanted, screen) or not _answers(_endpoint(spec)):
        if time.monotonic() > deadline:
            raise DeadlineExceeded(f"the cluster is not ready after {READY_DEADLINE_S:.0f} s")
        time.sleep(POLL_S)
    screen.end_stage()


def _all_there(running: dict[str, int], wanted: dict[str, int], screen: Screen) -> bool:
    parts = [f"{SHORT[name]} {running.get(name, 0)}/{count}" for name, count in wanted.items()]
    screen.stage(f"loading the model: {', '.join(parts)}")
    return all(running.get(name, 0) >= count for name, count in wanted.items())


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/ready", timeout=2.0) as answer:  # noqa: S310  always http
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _announce(spec: Spec, screen: Screen) -> None:
    endpoint = _endpoint(spec)
    body = f'{{"model": "{spec.name}", "messages": [{{"role": "user", "content": "Hello!"}}]}}'
    screen.say(f"\n{spec.name} is ready at {endpoint}/v1 after {screen.elapsed_s:.1f} s.  Try:\n")
    screen.say(f"  curl {endpoint}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'")
    screen.say("  baton chat\n")
    if spec.gateway.replicas > 1:
        screen.say(
            f"HAProxy balances over {spec.gateway.replicas} gateways. Its pages of statistics and metrics "
            "are on all interfaces of this machine: mind the firewall.\n"
        )
    screen.say("Ctrl-C stops the cluster.")


def _watch(session: RaySession, folder: RunFolder, screen: Screen) -> None:
    """Until Interrupted, or RayFailed. Says when a pool changes, and why a replica does not come back;
    takes over what `baton apply` asks for."""
    told = ""
    while True:
        _change(session, folder, screen)
        try:
            running = session.replicas()
            now = ", ".join(f"{SHORT[name]} {count}" for name, count in sorted(running.items()))
        except RayFailed:
            raise
        except DeadlineExceeded as busy:
            now = f"not known, Serve is busy: {busy.message}"
        except BatonError as failing:
            now = f"not all; a replica does not come back: {failing.message}"
        if told and now != told:
            screen.say(f"{time.strftime('%H:%M:%S')}  running: {now}")
        told = now
        time.sleep(WATCH_S)


def _change(session: RaySession, folder: RunFolder, screen: Screen) -> None:
    wanted = folder.take_asked()
    if wanted is None:
        return
    screen.say(f"{time.strftime('%H:%M:%S')}  taking another spec over")
    try:
        session.change(wanted)
        folder.write_spec(wanted)
    except DeadlineExceeded as busy:
        screen.say(f"it is not known whether Serve took it: {busy.message}")


def _endpoint(spec: Spec) -> str:
    host = "127.0.0.1" if spec.gateway.host == "0.0.0.0" else spec.gateway.host  # noqa: S104
    return f"http://{host}:{spec.gateway.port}"
