"""The gateway of the running cluster, as `baton status` and `baton chat` talk to it."""

from __future__ import annotations

import httpx
import msgspec

from cluster.run_folder import RunFolder, RunState
from protocol.errors import BatonError

CONNECT_S = 5.0


class NotRunning(BatonError):
    """There is no cluster to talk to."""


def running_cluster(folder: RunFolder) -> RunState:
    """The cluster that runs in this folder. Raises NotRunning with the way out."""
    state = folder.running()
    if state is None:
        raise NotRunning("no cluster is running; start one with `baton up`")
    if not state.ready:
        raise NotRunning(f"the cluster at {state.endpoint} is still starting (or stopping)")
    return state


def explained(answer: httpx.Response) -> BatonError:
    """The gateway's own sentence about a call that it refused."""
    try:
        message = str(msgspec.json.decode(answer.content)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        message = answer.text.strip()[:200]
    return BatonError(f"the gateway answered {answer.status_code}: {message}")


def unreachable(endpoint: str, wrong: httpx.HTTPError) -> BatonError:
    """For a call that got no answer."""
    return BatonError(f"{endpoint} does not answer: {wrong or type(wrong).__name__}")
