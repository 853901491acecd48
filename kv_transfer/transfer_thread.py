"""The one thread that makes blocking transport calls, so that the step loop never does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from protocol.errors import EngineFailed


class TransferThread:
    """Runs jobs one after the other. Between jobs it sleeps on its queue; nothing polls here.

    Jobs are short Python around native calls that release the interpreter lock: any more Python
    would slow the forward pass beside it.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._wrong: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Runs `job` after those before it. A job must not raise: that ends the thread.

        Raises EngineFailed when the thread has ended so.
        """
        if self._wrong is not None:
            raise EngineFailed(f"the transfer thread ended: {self._wrong}") from self._wrong
        self._jobs.put(job)

    def finish(self, job: Callable[[], None], timeout_s: float) -> None:
        """Runs `job` and waits for its end. Raises what it raised; EngineFailed after `timeout_s`."""
        outcome: SimpleQueue[Exception | None] = SimpleQueue()

        def reported() -> None:
            try:
                job()
            except Exception as wrong:
                outcome.put(wrong)
            else:
                outcome.put(None)

        self.submit(reported)
        try:
            wrong = outcome.get(timeout=timeout_s)
        except Empty:
            raise EngineFailed(f"the transfer thread did not answer within {timeout_s} s") from None
        if wrong is not None:
            raise wrong

    def stop(self, timeout_s: float) -> None:
        """Ends the thread after the jobs it has. Raises EngineFailed if it does not end."""
        self._jobs.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise EngineFailed(f"the transfer thread did not end within {timeout_s} s")

    def _run(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                job()
        except Exception as wrong:
            self._wrong = wrong
