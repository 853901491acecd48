"""`baton up` that does not get far: nothing of it stays."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

from cluster.default_model import DEFAULT_MODEL
from tests.cluster.baton_process import START_S, BatonProcess, baton_up

END_S = 10.0


def loading(output: str) -> bool:
    """Serve runs, and the workers begin to load."""
    return "loading the model" in output


def gone(baton: BatonProcess, within_s: float) -> bool:
    """Whether no process of the run is left in time."""
    deadline = time.monotonic() + within_s
    while baton.left():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_down_while_it_starts() -> None:
    """`baton down` ends a cluster that is still loading, within ten seconds."""
    with baton_up() as baton:
        baton.wait_until(loading)
        down = baton.command("down")
        assert (down.returncode, down.stderr) == (0, "")
        assert baton.process.wait(END_S) != 0
        assert baton.left() == ()


def test_killed_up_leaves_nothing() -> None:
    """Even when `baton up` is killed and cannot tidy up, its whole run is gone within ten seconds."""
    with baton_up() as baton:
        baton.wait_until(loading)
        assert len(baton.left()) > 3
        baton.process.send_signal(signal.SIGKILL)
        assert gone(baton, END_S)
        assert baton.command("down").returncode == 0  # and what it left behind is cleared away
        assert baton.command("down").returncode == 1


def test_model_that_no_engine_loads_is_one_sentence(tmp_path: Path) -> None:
    """A model that the load gate refuses ends `baton up` with the gate's sentence and nothing running."""
    folder = tmp_path / "odd"
    shutil.copytree(DEFAULT_MODEL, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 128}))
    with baton_up("--model", str(folder)) as baton:
        baton.wait_until(loading)
        assert baton.process.wait(START_S) == 1
        (sentence,) = [line for line in baton.output().splitlines() if line.startswith("error:")]
        assert "/odd" in sentence
        assert "Traceback" not in baton.output()
        assert baton.left() == ()
