"""`baton apply`: the running cluster takes over another spec, without a request that fails."""

from __future__ import annotations

import time
from dataclasses import replace

from cluster.endpoint import NotRunning, running_cluster
from cluster.run_folder import RunFolder
from cluster.screen import Screen
from cluster.spec import Spec
from cluster.spec_change import changed_spec
from engine.torch_runner.model_folder import resolve_model
from protocol.errors import DeadlineExceeded

TAKEN_S = 60.0
"""`baton up` looks every few seconds, unless Serve keeps it busy."""
POLL_S = 0.1


def apply_spec(wanted: Spec, folder: RunFolder, screen: Screen) -> None:
    """Returns when `baton up` has asked Serve for it. Raises InvalidSpec, NotRunning or DeadlineExceeded."""
    running_cluster(folder)
    running = folder.running_spec()
    if running is None:
        raise NotRunning("the cluster is starting or stopping")
    model = resolve_model(wanted.model, weights=wanted.computes).resolve()
    local = replace(wanted, model=str(model), served_name=wanted.name)
    folder.ask_for(changed_spec(running, local))
    deadline = time.monotonic() + TAKEN_S
    while folder.is_asked():
        if not folder.is_held() or time.monotonic() > deadline:
            raise DeadlineExceeded("`baton up` does not take the new spec over")
        time.sleep(POLL_S)
    screen.say("taken over: workers leave and come one after another; `baton status` shows them")
