"""What an engine process does from start to exit."""

from __future__ import annotations

import gc
import logging
import os
import socket
from collections.abc import Mapping

from protocol.errors import InvalidSpec, UnsupportedModel, WorkerLost
from protocol.limits import Limits
from protocol.mail import Ready
from worker.engine_host import fatal_of
from worker.mail_pipe import MailPipe
from worker.step_core import CoreFactory, StepCore
from worker.step_loop import StepLoop

SOCKET_VARIABLE = "BATON_ENGINE_SOCKET"
"""Number of the inherited descriptor."""
SELECT_LIMIT = 1024
"""Descriptors from this number on cannot be waited for with select."""
LAST_WORDS_S = 1.0
"""At most this long for the last mail to leave."""
SPEAK_FOR_THEMSELVES = (WorkerLost, UnsupportedModel, InvalidSpec)
"""Logged as one sentence, without a traceback."""

logger = logging.getLogger(__name__)


def run_engine(core_factory: CoreFactory, limits: Limits, environment: Mapping[str, str]) -> int:
    """Loads the core, serves until told to stop or until the I/O process is gone.

    Returns the exit status: 0 after Stop; 1 when the core failed (Fatal was sent) or
    the I/O process is gone. To be called from the main thread of a child of ChildHost.
    """
    pipe = MailPipe(inherited(environment), limits)
    try:
        return _serve(core_factory, pipe, limits)
    finally:
        pipe.close(LAST_WORDS_S)


def inherited(environment: Mapping[str, str]) -> socket.socket:
    """This end of the socket to the I/O process, for this process alone."""
    descriptor = int(environment[SOCKET_VARIABLE])
    if descriptor >= SELECT_LIMIT:  # of a parent with many; here nearly all lower ones are free
        high, descriptor = descriptor, os.dup(descriptor)
        os.close(high)
    os.set_inheritable(descriptor, False)  # a grandchild must not keep the socket open
    return socket.socket(fileno=descriptor)


def _serve(core_factory: CoreFactory, pipe: MailPipe, limits: Limits) -> int:
    core: StepCore | None = None
    try:
        core = core_factory()
        _settle_memory()
        pipe.send([Ready(core.facts())])
        StepLoop(core, pipe, limits).run()
        return 0
    except Exception as error:
        logger.error("the engine failed: %s", error, exc_info=not isinstance(error, SPEAK_FOR_THEMSELVES))
        _last_words(pipe, error)
        return 1
    finally:
        if core is not None:
            core.close()


def _settle_memory() -> None:
    """What was loaded stays until the end: the collector need not look at it again, in a pause of steps."""
    gc.collect()
    gc.freeze()


def _last_words(pipe: MailPipe, error: Exception) -> None:
    try:
        pipe.send([fatal_of(error)])
    except WorkerLost:
        logger.warning("nobody is left to hear why the engine failed")
