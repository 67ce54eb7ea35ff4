"""One writer per pipeline and range of output time.

The lease is a property of the pipeline's corrections table, changed by a strict
compare-and-set on the table's metadata, so any catalog that commits atomically can hold it.
Each taking gets a greater fencing token, which every commit to the sink carries. A sign of
life is a small file beside the checkpoints; only the taking itself needs a commit.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError

from headway import instant
from headway.catalog import java_table
from headway.errors import FencedOffError, LeaseHeldError
from headway.interval import Interval
from headway.process import start_time
from headway.run.files import Files

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Holder", "Lease", "ask_to_stop", "holders", "taken"]

_PROPERTY = "headway.leases"
_NEWEST = "headway.last-token"
_TRIES = 20
_LOOK = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lease."""

    token: int
    mode: str
    user: str
    host: str
    pid: int
    started: str
    """When the holder's process started, as its kernel words it: tells a reused pid apart."""
    since: str
    start: int
    end: int
    """Range of output time that the holder may write."""

    @property
    def interval(self) -> Interval:
        """The range as an interval."""
        return Interval(self.start, self.end)

    def __str__(self) -> str:
        return f"{self.mode} run of {self.user}@{self.host}, process {self.pid}, since {self.since}"


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that this process holds."""

    holder: Holder
    overtaken: tuple[Holder, ...]
    """Holders that were dead or silent, and have lost their lease to this one."""
    alive: tuple[Holder, ...]
    """Holders of other ranges."""
    _table: Any
    _stop: threading.Event

    @property
    def token(self) -> int:
        """The fencing token."""
        return self.holder.token

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether `headway stop` has asked the holder to end."""
        return self._stop.is_set()

    def check(self) -> None:
        """See that the lease is still held; called between staging a commit and publishing it.

        Whoever takes a lease over moves the sink's `main` at once. So a writer that held its
        lease after it had staged either publishes on what it has staged, or fails to.

        Raises:
            FencedOffError: Another run has taken over.
        """
        self._table.refresh()
        held, _ = _read(self._table)
        if all(h.token != self.token for h in held):
            raise FencedOffError(
                "this run's lease has been taken over by another run",
                hint="Nothing more is published by this run. `headway status` shows who runs.",
            )


@contextmanager
def taken(
    spark: SparkSession,
    table: str,
    *,
    pipeline: str,
    mode: str,
    interval: Interval,
    beats: str,
    seconds: float,
    clock: Callable[[], float] = time.time,
) -> Iterator[Lease]:
    """Hold the lease of a pipeline's range for as long as the block runs.

    Args:
        spark: The session.
        table: Name of the corrections table.
        pipeline: For the message.
        mode: For the message.
        interval: Range of output time to be written.
        beats: Folder for the signs of life, shared by everybody who may run the pipeline.
        seconds: How long a lease lasts without a sign of life.
        clock: Seconds since the epoch.

    Raises:
        LeaseHeldError: Another run holds a range that meets this one.
    """
    files = Files(spark)
    holder, overtaken, alive = _take(spark, table, pipeline, mode, interval, beats, seconds, clock)
    mine = f"{beats}/{holder.token}"
    files.write(f"{mine}.beat", str(clock()))
    ended, stop = threading.Event(), threading.Event()

    def live() -> None:
        beat_at = clock()
        while not ended.wait(_LOOK):
            if clock() - beat_at > seconds / 6:
                beat_at = clock()
                files.write(f"{mine}.beat", str(beat_at))
            if files.exists(f"{mine}.stop"):
                stop.set()

    thread = threading.Thread(target=live, name="headway-lease", daemon=True)
    thread.start()
    try:
        yield Lease(holder, overtaken, alive, java_table(spark, table), stop)
    finally:
        ended.set()
        thread.join()
        _change(spark, table, lambda held: [h for h in held if h.token != holder.token])
        for kind in ("beat", "stop"):
            files.delete(f"{mine}.{kind}")


def ask_to_stop(spark: SparkSession, beats: str, holder: Holder) -> None:
    """Ask a holder to end between two batches; it looks every second."""
    Files(spark).write(f"{beats}/{holder.token}.stop", "")


def holders(spark: SparkSession, table: str, beats: str, seconds: float) -> list[Holder]:
    """Return who holds a lease now."""
    held, _ = _read(java_table(spark, table))
    return [h for h in held if not _is_dead(Files(spark), h, beats, seconds, time.time)]


def _take(
    spark: SparkSession,
    table: str,
    pipeline: str,
    mode: str,
    interval: Interval,
    beats: str,
    seconds: float,
    clock: Callable[[], float],
) -> tuple[Holder, tuple[Holder, ...], tuple[Holder, ...]]:
    own = Holder(
        token=0,
        mode=mode,
        user=getpass.getuser(),
        host=socket.gethostname(),
        pid=os.getpid(),
        started=start_time(os.getpid()) or "",
        since=instant.iso(int(clock()) * instant.SECOND),
        start=interval.start,
        end=interval.end,
    )
    overtaken: list[Holder] = []
    others: list[Holder] = []

    def claim(held: list[Holder]) -> list[Holder]:
        overtaken[:] = [h for h in held if _is_dead(Files(spark), h, beats, seconds, clock)]
        others[:] = [h for h in held if h not in overtaken]
        rival = next((h for h in others if h.interval.meets(interval)), None)
        if rival is not None:
            raise LeaseHeldError(
                f"pipeline {pipeline!r} is being written by another run: {rival}",
                hint="Wait for it, or end it with `headway stop`; a run that died is taken over by itself.",
            )
        return [*others, own]

    token = _change(spark, table, claim)
    return replace(own, token=token), tuple(overtaken), tuple(others)


def _change(spark: SparkSession, table: str, change: Callable[[list[Holder]], list[Holder]]) -> int:
    """Change the list of holders by compare-and-set, and return the newest token."""
    for attempt in range(_TRIES):
        handle = java_table(spark, table)
        held, token = _read(handle)
        wanted = change(held)
        if any(h.token == 0 for h in wanted):
            token += 1
            wanted = [replace(h, token=token) if h.token == 0 else h for h in wanted]
        operations = handle.operations()
        base = operations.current()
        jvm = spark._jvm
        assert jvm is not None
        properties = jvm.java.util.HashMap(base.properties())
        properties[_PROPERTY] = json.dumps([asdict(h) for h in wanted])
        properties[_NEWEST] = str(token)
        try:
            operations.commit(base, base.replaceProperties(properties))
        except Py4JJavaError:
            if attempt == _TRIES - 1:
                raise
            continue
        return token
    raise AssertionError("unreachable")


def _read(handle: Any) -> tuple[list[Holder], int]:
    properties = handle.properties()
    text = properties.get(_PROPERTY)
    held = [Holder(**h) for h in json.loads(text)] if text else []
    return held, int(properties.get(_NEWEST) or 0)


def _is_dead(files: Files, holder: Holder, beats: str, seconds: float, clock: Callable[[], float]) -> bool:
    if holder.host == socket.gethostname():
        started = start_time(holder.pid)
        return started != holder.started
    beat = files.read(f"{beats}/{holder.token}.beat")
    last = float(beat) if beat else instant.parse(holder.since) / instant.SECOND
    return clock() - last > seconds
