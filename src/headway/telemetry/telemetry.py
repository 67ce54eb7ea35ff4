"""The one place that a run tells what happens in it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from headway.telemetry.events import Deaf, Event, Said

__all__ = ["Listener", "Telemetry"]


class Listener(Protocol):
    """Somebody who hears what happens."""

    def take(self, event: Event) -> None:
        """Take an event in.

        Called on whatever thread it happens on, the stream's too: nothing may wait here.
        """
        ...


class Telemetry:
    """Whom one run tells what happens in it; nobody, where it is made without listeners."""

    def __init__(self, listeners: Sequence[Listener] = (), *, is_measured: bool = False) -> None:
        """Say whom.

        Args:
            listeners: They hear each event in turn.
            is_measured: Somebody wants to hear what costs something to find out, too.
        """
        self.is_measured = is_measured
        self._listeners = list(listeners)
        self._deaf: set[int] = set()
        self._lock = threading.Lock()

    def add(self, listener: Listener) -> None:
        """Have one more listener hear what happens from now on; called before a run begins."""
        self._listeners.append(listener)

    def say(self, sentence: str) -> None:
        """Tell the person who runs the pipeline what is going on."""
        self.tell(Said(sentence))

    def warn(self, sentence: str) -> None:
        """Tell them of something that is amiss and stops nothing."""
        self.tell(Said(sentence, is_warning=True))

    def tell(self, event: Event) -> None:
        """Tell every listener; what one of them raises never reaches the run, and the others hear of it once."""
        for number, listener in enumerate(self._listeners):
            try:
                listener.take(event)
            except Exception as exc:  # noqa: BLE001 a run does not end because nobody could watch it
                with self._lock:
                    is_known = number in self._deaf
                    self._deaf.add(number)
                if not is_known:
                    self.tell(Deaf(type(listener).__name__, exc))
