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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError

from headway import instant
from headway.errors import FencedOffError, LeaseHeldError
from headway.interval import Interval
from headway.sinks.iceberg_table import java_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Holder", "Lease", "holders", "taken"]

_PROPERTY = "headway.leases"
_TOKEN = "headway.last-token"
_TRIES = 20


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
    beat: Path
    _lost: threading.Event

    @property
    def token(self) -> int:
        """The fencing token."""
        return self.holder.token

    def check(self) -> None:
        """Raise `FencedOffError` once the lease is known to be lost; called before each commit."""
        if self._lost.is_set():
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
    beats: Path,
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
    beats.mkdir(parents=True, exist_ok=True)
    holder = _take(spark, table, pipeline, mode, interval, beats, seconds, clock)
    beat = beats / f"{holder.token}.beat"
    beat.write_text(str(clock()))
    ended, lost = threading.Event(), threading.Event()

    def live() -> None:
        while not ended.wait(seconds / 6):
            beat.write_text(str(clock()))
            if (beats / f"{holder.token}.lost").exists():
                lost.set()

    thread = threading.Thread(target=live, name="headway-lease", daemon=True)
    thread.start()
    try:
        yield Lease(holder, beat, lost)
    finally:
        ended.set()
        thread.join()
        _change(spark, table, lambda held: [h for h in held if h.token != holder.token])
        beat.unlink(missing_ok=True)
        (beats / f"{holder.token}.lost").unlink(missing_ok=True)


def holders(spark: SparkSession, table: str, beats: Path, seconds: float) -> list[Holder]:
    """Return who holds a lease now."""
    held, _ = _read(java_table(spark, table))
    return [h for h in held if not _is_dead(h, beats, seconds, time.time)]


def _take(
    spark: SparkSession,
    table: str,
    pipeline: str,
    mode: str,
    interval: Interval,
    beats: Path,
    seconds: float,
    clock: Callable[[], float],
) -> Holder:
    own = Holder(
        token=0,
        mode=mode,
        user=getpass.getuser(),
        host=socket.gethostname(),
        pid=os.getpid(),
        started=_started(os.getpid()),
        since=instant.iso(int(clock()) * instant.SECOND),
        start=interval.start,
        end=interval.end,
    )
    overtaken: list[Holder] = []

    def claim(held: list[Holder]) -> list[Holder]:
        overtaken[:] = [h for h in held if _is_dead(h, beats, seconds, clock)]
        alive = [h for h in held if h not in overtaken]
        rival = next((h for h in alive if h.interval.meets(interval)), None)
        if rival is not None:
            raise LeaseHeldError(
                f"pipeline {pipeline!r} is being written by another run: {rival}",
                hint="Wait for it, or end it with `headway stop`; a run that died is taken over by itself.",
            )
        return [*alive, own]

    token = _change(spark, table, claim)
    for dead in overtaken:
        (beats / f"{dead.token}.lost").touch()
    return replace(own, token=token)


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
        properties[_TOKEN] = str(token)
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
    return held, int(properties.get(_TOKEN) or 0)


def _is_dead(holder: Holder, beats: Path, seconds: float, clock: Callable[[], float]) -> bool:
    if holder.host == socket.gethostname():
        started = _started(holder.pid)
        return started != holder.started
    try:
        last = float((beats / f"{holder.token}.beat").read_text())
    except (FileNotFoundError, ValueError):
        last = instant.parse(holder.since) / instant.SECOND
    return clock() - last > seconds


def _started(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] == "Z" else fields[19]
