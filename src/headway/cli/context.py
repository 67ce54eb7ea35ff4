"""What every command shares: the project, how to print, and how an error ends the process."""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from headway import instant
from headway.errors import CallError
from headway.interval import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.project import Project

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """The options that stand before a command."""

    root: Path
    environment: str
    as_json: bool
    verbose: bool
    run: str = field(default_factory=lambda: secrets.token_hex(6))
    """Id of this call, which every log line of a run has. No row and no fingerprint depends on it."""

    @property
    def project(self) -> Project:
        """The project folder."""
        from headway.project import Project

        return Project(self.root, self.environment)

    def say(self, text: str) -> None:
        """Tell the person what is going on, on stderr."""
        print(text, file=sys.stderr, flush=True)

    def give(self, data: dict[str, object], lines: Sequence[str]) -> None:
        """Print the result on stdout: one JSON object, or lines for a person."""
        if self.as_json:
            print(json.dumps(data, default=_plain))
        else:
            print("\n".join(lines))

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
        """Lay rows out in columns."""
        from rich.console import Console
        from rich.table import Table

        table = Table(
            title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold"
        )
        for name in header:
            table.add_column(name, justify="left", overflow="fold")
        for row in rows:
            table.add_row(*[str(cell) for cell in row])
        console = Console(
            width=max(100, Console().width), no_color=not sys.stdout.isatty(), force_terminal=False
        )
        with console.capture() as captured:
            console.print(table)
        return captured.get().rstrip().splitlines()

    def span(self, start: str | None, end: str | None) -> Interval | None:
        """Read `--start` and `--end`; what has no offset is in the zone of conf.

        Raises:
            CallError: One is missing, or the start is not before the end.
        """
        if start is None and end is None:
            return None
        if start is None or end is None:
            raise CallError("--start and --end go together", hint="Name both, or neither.")
        zone = ZoneInfo(self.project.config.zone)
        low, high = _moment(start, zone), _moment(end, zone)
        if low >= high:
            raise CallError(
                f"--start {start} is not before --end {end}",
                hint="Intervals are half-open: the end is the first instant that no longer belongs to it.",
            )
        return Interval(low, high)


def _moment(text: str, zone: ZoneInfo) -> int:
    instant.parse(text)
    moment = datetime.fromisoformat(text)
    return instant.from_datetime(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
