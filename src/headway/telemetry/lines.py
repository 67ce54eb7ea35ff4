"""Log lines on stderr, for people or for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Literal, TextIO

from headway import instant
from headway.telemetry.events import LEVELS, Ended, Event, Failed, Level

__all__ = ["Lines"]

Format = Literal["text", "json"]


class Lines:
    """Writes each event on a line of its own, with the id of the run."""

    def __init__(
        self,
        out: TextIO,
        *,
        run: str,
        pipeline: str | None = None,
        mode: str | None = None,
        format: Format = "text",  # noqa: A002 as conf/ calls it
        level: Level = "info",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Say how.

        Args:
            out: Where lines go.
            run: Id of the run.
            pipeline: Which pipeline the run is of.
            mode: In which mode.
            format: `text` is words; `json` is one object a line.
            level: The least that is written.
            clock: Seconds since the epoch.
        """
        self._out = out
        self._known = {"run": run, "pipeline": pipeline, "mode": mode}
        self._format = format
        self._least = LEVELS.index(level)
        self._clock = clock

    def take(self, event: Event) -> None:
        """See `headway.telemetry.telemetry.Listener`."""
        if LEVELS.index(event.level) < self._least:
            return
        line = self._object(event) if self._format == "json" else self._sentence(event)
        if line is not None:
            # In one piece: several threads write.
            self._out.write(line + "\n")
            self._out.flush()

    def _object(self, event: Event) -> str:
        known = {name: value for name, value in self._known.items() if value is not None}
        text = event.text()
        return json.dumps(
            {"time": self._now(), "level": event.level, "event": event.name}
            | known
            | ({} if text is None else {"message": text})
            | event.facts()
        )

    def _sentence(self, event: Event) -> str | None:
        if isinstance(event, Failed) or (isinstance(event, Ended) and event.error is not None):
            return None  # the command itself says it
        text = event.text()
        if text is None:
            text = f"{event.name} " + " ".join(f"{k}={v}" for k, v in event.facts().items())
        level = "" if event.level in ("debug", "info") else f"{event.level}: "
        return f"{self._now()} {self._known['run']} {level}{text}"

    def _now(self) -> str:
        micros = int(self._clock() * 1_000) * 1_000
        return instant.iso(micros if self._format == "json" else micros // instant.SECOND * instant.SECOND)
