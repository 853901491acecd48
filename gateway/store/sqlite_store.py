"""A store in one file: it outlives the gateway, and several gateways of one machine may share it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TypeVar

from gateway.store.store import StoreBounds
from protocol.errors import DeadlineExceeded, InvalidSpec, Overloaded, WorkerLost
from protocol.executor import Executor

T = TypeVar("T")

# SQLite's own clock: lapse times must mean the same after a restart, as no monotonic clock's do.
NOW = "((julianday('now') - 2440587.5) * 86400.0)"

TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, lapses_at REAL NOT NULL
) WITHOUT ROWID
"""
GET = f"SELECT value FROM entries WHERE key = ? AND lapses_at > {NOW}"  # noqa: S608
PUT = f"""
INSERT INTO entries VALUES (?, ?, {NOW} + ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, lapses_at = excluded.lapses_at
"""  # noqa: S608
PUT_IF_ABSENT = f"{PUT} WHERE entries.lapses_at <= {NOW}"
DELETE = "DELETE FROM entries WHERE key = ?"
SWEEP = f"DELETE FROM entries WHERE lapses_at <= {NOW}"  # noqa: S608


class SqliteStore:
    """One table. Every operation is one statement, on any thread of the executor, but one at a time: a
    connection has one count of changed rows, and Python's statements are not for two threads at once."""

    def __init__(self, path: Path, executor: Executor, bounds: StoreBounds) -> None:
        """Opens or makes the file. Raises InvalidSpec if it cannot hold a store."""
        self._executor = executor
        self._bounds = bounds
        self._one_at_a_time = Lock()
        try:
            self._database = self._open(path)
        except sqlite3.Error as wrong:
            raise InvalidSpec(f"no store can be kept in {path}: {wrong}") from wrong

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        row = await self._run(lambda: self._database.execute(GET, (key,)).fetchone())
        return None if row is None else bytes(row[0])

    async def put(self, key: str, value: bytes, ttl_s: float) -> None:
        """Stores, over whatever was there."""
        self._bounds.check(key, value, ttl_s)
        await self._run(lambda: self._write(PUT, (key, value, ttl_s)))

    async def put_if_absent(self, key: str, value: bytes, ttl_s: float) -> bool:
        """Stores only if nothing is there."""
        self._bounds.check(key, value, ttl_s)
        return await self._run(lambda: self._write(PUT_IF_ABSENT, (key, value, ttl_s))) == 1

    async def delete(self, key: str) -> None:
        """Removes the entry."""
        await self._run(lambda: self._write(DELETE, (key,)))

    async def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def _open(self, path: Path) -> sqlite3.Connection:
        database = sqlite3.connect(
            path, timeout=self._bounds.deadline_s, check_same_thread=False, isolation_level=None
        )
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
            database.execute(f"PRAGMA max_page_count = {max(1, self._bounds.max_bytes // page_bytes)}")
            database.execute(TABLE)
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _write(self, statement: str, values: tuple[str | bytes | float, ...]) -> int:
        try:
            return self._database.execute(statement, values).rowcount
        except sqlite3.OperationalError as full:
            if full.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
        self._database.execute(SWEEP)
        return self._database.execute(statement, values).rowcount

    async def _run(self, call: Callable[[], T]) -> T:
        def alone() -> T:
            with self._one_at_a_time:
                return call()

        try:
            return await self._executor.run(alone, self._bounds.deadline_s)
        except DeadlineExceeded as late:
            raise WorkerLost("the store does not answer in time") from late
        except sqlite3.Error as broken:
            if getattr(broken, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise Overloaded("the store is full", retry_after_s=1.0) from broken
            raise WorkerLost(f"the store does not answer: {broken}") from broken
