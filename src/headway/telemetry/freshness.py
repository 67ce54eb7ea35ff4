"""An alert when what is published is older than a team wants."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headway import instant
from headway.telemetry.events import Crossed, Ended, Event, Standing

__all__ = ["Freshness"]

_LOOK = 5.0


class Freshness:
    """Tells once when the age of what is published passes a threshold, and once when it is back.

    The age is the time from the end of the last final range to now. What a run has published counts, and
    in a stream the passing of time too, whether or not it does anything.
    """

    def __init__(
        self,
        pipeline: str,
        threshold: int,
        tell: Callable[[Crossed], None],
        *,
        ends: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Say when.

        Args:
            pipeline: Its name.
            threshold: Microseconds.
            tell: Told of each crossing; at first also that all is well.
            ends: The run ends by itself, and only its end counts: before it has published, old data are no news.
            clock: Seconds since the epoch.
        """
        self._pipeline = pipeline
        self._threshold = threshold
        self._tell = tell
        self._ends = ends
        self._clock = clock
        self._closed_through: int | None = None
        self._is_exceeded: bool | None = None
        self._lock = threading.Lock()

    def take(self, event: Event) -> None:
        """See `headway.telemetry.telemetry.Listener`."""
        if isinstance(event, Standing):
            self._closed_through = event.closed_through
            if not self._ends:
                self.look()
        elif isinstance(event, Ended) and self._ends:
            self.look()

    def look(self) -> None:
        """Compare the age with the threshold now."""
        with self._lock:
            closed = self._closed_through
            if closed is None:
                return
            age = max(0, int(self._clock() * instant.SECOND) - closed)
            is_exceeded = age > self._threshold
            if is_exceeded == self._is_exceeded:
                return
            is_first, self._is_exceeded = self._is_exceeded is None, is_exceeded
        self._tell(
            Crossed(
                pipeline=self._pipeline,
                is_exceeded=is_exceeded,
                is_first=is_first,
                closed_through=closed,
                age=age,
                threshold=self._threshold,
            )
        )

    @contextmanager
    def watched(self, every: float = _LOOK) -> Iterator[None]:
        """Look every so many seconds, on a thread of its own, while a stream runs."""
        if self._ends:
            yield
            return
        ended = threading.Event()

        def keep() -> None:
            while not ended.wait(every):
                self.look()

        thread = threading.Thread(target=keep, name="headway-freshness", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
