"""Filling the logs that a run fills itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from headway.run.job import Job
from headway.source import Landing

__all__ = ["beside", "land"]


def land(job: Job) -> None:
    """Take in what waits for the logs of a run, before it asks where they end."""
    for name, log in job.logs.items():
        if isinstance(log, Landing):
            landed = log.land()
            job.say(f"{landed} new records of {name} are taken in")


@contextmanager
def beside(job: Job, stop: threading.Event) -> Iterator[None]:
    """Take in what comes while a stream runs; where that fails, the stream is stopped and the failure raised."""
    landings = [log for log in job.logs.values() if isinstance(log, Landing)]
    if not landings:
        yield
        return
    ended = threading.Event()

    def keep(log: Landing) -> None:
        try:
            log.land_until(ended)
        finally:
            stop.set()

    with ThreadPoolExecutor(len(landings)) as pool:
        running = [pool.submit(keep, log) for log in landings]
        try:
            yield
        finally:
            ended.set()
        for future in running:
            future.result()
