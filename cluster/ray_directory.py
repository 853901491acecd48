"""The directory as one small Ray actor: the default, with nothing more to run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError

from cluster.lease_table import LeaseTable
from cluster.record_codec import RECORDS, readable_records
from protocol.clock import Clock
from protocol.errors import DeadlineExceeded, WorkerLost
from protocol.ids import WorkerIdentity
from protocol.messages import WorkerRecord

NAMESPACE = "baton"


class RayDirectory:
    """A handle to the actor. Ray restarts the actor when it dies; renewals fill it again."""

    def __init__(self, actor: ActorHandle[LeaseTable], clock: Clock, deadline_s: float) -> None:
        self._actor = actor
        self._clock = clock
        self._deadline_s = deadline_s

    @classmethod
    def open(cls, name: str, clock: Clock, deadline_s: float) -> RayDirectory:
        """Finds the actor of that name or starts it; it then lives as long as the cluster."""
        actor = (
            ray.remote(LeaseTable)
            .options(
                name=name,
                namespace=NAMESPACE,
                get_if_exists=True,
                lifetime="detached",
                num_cpus=0,
                max_restarts=-1,
            )
            .remote()
        )
        return cls(cast("ActorHandle[LeaseTable]", actor), clock, deadline_s)

    async def join(self, record: WorkerRecord, lease_s: float) -> None:
        """Enters or renews a worker for `lease_s` seconds."""
        identity, line = record.address.identity, RECORDS.encode(record)
        async with self._answered():
            await self._actor.join.remote(identity.worker, identity.incarnation, line, lease_s)

    async def leave(self, identity: WorkerIdentity) -> None:
        """Removes this incarnation only."""
        async with self._answered():
            await self._actor.leave.remote(identity.worker, identity.incarnation)

    async def members(self) -> tuple[WorkerRecord, ...]:
        """The living, in order of worker id. Records of another version are passed over."""
        async with self._answered():
            lines: list[bytes] = await self._actor.members.remote()
        return readable_records(lines)

    async def close(self) -> None:
        """Nothing to let go of: the actor belongs to the cluster."""

    @asynccontextmanager
    async def _answered(self) -> AsyncIterator[None]:
        try:
            async with self._clock.deadline(self._deadline_s):
                yield
        except DeadlineExceeded as late:
            raise WorkerLost("the directory does not answer in time") from late
        except RayError as away:
            raise WorkerLost(f"the directory does not answer: {type(away).__name__}") from away
