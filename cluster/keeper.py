"""A small process beside `baton up`: when that one is gone, whatever is left of its run goes too.

`baton up` tidies up after itself; the keeper is for the day it is killed and cannot. Started as
`python -m cluster.keeper RUN_ID` with a pipe as standard input, which the kernel closes with `baton up`.
"""

from __future__ import annotations

import os
import subprocess
import sys

from cluster.run_processes import RUN_ID_VARIABLE, end_processes

GRACE_S = 3.0
"""Most of the run ends by itself when its parents are gone."""


def start_keeper(run_id: str) -> subprocess.Popen[bytes]:
    """Starts the keeper, deaf to Ctrl-C. Closing its standard input is what it waits for."""
    environment = {key: value for key, value in os.environ.items() if key != RUN_ID_VARIABLE}
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "cluster.keeper", run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )


def main() -> None:
    """Waits for the end of standard input, then ends the run."""
    sys.stdin.buffer.read()
    end_processes(sys.argv[1], GRACE_S)


if __name__ == "__main__":
    main()
