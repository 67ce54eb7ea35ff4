"""What a run tells of itself while it goes on.

Events are for people and programs that watch. Nothing that is published depends on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from headway import instant
from headway.accounts import Accounts
from headway.errors import Error
from headway.interval import Interval
from headway.ownership import Ownership

__all__ = [
    "LEVELS",
    "OUTCOMES",
    "Crossed",
    "Deaf",
    "Ended",
    "Event",
    "Failed",
    "Followed",
    "Level",
    "Published",
    "Reached",
    "Said",
    "Standing",
    "Started",
    "UnitJudged",
    "Worked",
]

Level = Literal["debug", "info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error")
_BY_STATUS = {1: "failed", 2: "wrong", 3: "again"}
OUTCOMES = ("done", *_BY_STATUS.values(), "interrupted")
"""How a run may end."""


class Event:
    """Something that has happened in a run."""

    __slots__ = ()
    name: ClassVar[str]
    """What log lines call it."""

    @property
    def level(self) -> Level:
        """How much it matters."""
        return "debug"

    def text(self) -> str | None:
        """Return it in words; None where its fields say it all."""
        return None

    def facts(self) -> dict[str, object]:
        """Return it as fields that JSON can write."""
        return {}


@dataclass(frozen=True, slots=True)
class Said(Event):
    """A sentence for the person who runs the pipeline."""

    name: ClassVar[str] = "said"
    sentence: str
    is_warning: bool = False

    @property
    def level(self) -> Level:
        return "warning" if self.is_warning else "info"

    def text(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class Started(Event):
    """A run of one pipeline has begun; Spark may still be starting."""

    name: ClassVar[str] = "run_started"
    pipeline: str
    mode: str

    @property
    def level(self) -> Level:
        return "info"

    def text(self) -> str:
        return f"{self.pipeline}: a run in mode {self.mode} begins"


@dataclass(frozen=True, slots=True)
class Reached(Event):
    """How far the inputs are provably complete."""

    name: ClassVar[str] = "frontiers"
    frontiers: Mapping[str, int]
    """By the parameter name of a source or an upstream."""

    @property
    def known(self) -> dict[str, int]:
        """Those that say something: neither is nothing known, nor has the log been declared to have ended."""
        return {name: at for name, at in self.frontiers.items() if instant.BEGINNING < at < instant.END}

    def facts(self) -> dict[str, object]:
        return {"frontiers": {name: instant.iso(at) for name, at in self.known.items()}}


@dataclass(frozen=True, slots=True)
class Standing(Event):
    """What the table of record shows now."""

    name: ClassVar[str] = "standing"
    closed_through: int | None
    """End of the last final range; None where nothing is final yet."""
    corrections: int
    """How many ranges wait for a correction."""

    @classmethod
    def of(cls, ownership: Ownership) -> Standing:
        """Read it from the map that a commit carries."""
        return cls(ownership.closed_through, len(ownership.pending))

    def facts(self) -> dict[str, object]:
        closed = self.closed_through
        return {
            "closed_through": None if closed is None else instant.iso(closed),
            "corrections": self.corrections,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Published(Event):
    """A commit became visible."""

    name: ClassVar[str] = "published"
    accounts: Accounts
    """What it has counted."""
    rejected: int = 0
    """Rows of the result that rules have left out."""
    span: Interval | None = None
    """Range of output time that was replaced, in bounded runs; None where a commit only looks."""
    batch: int | None = None
    """Number of the micro-batch, in streams."""
    snapshot: int | None = None

    def plus(self, accounts: Accounts, rejected: int) -> Published:
        """Return it with the counts of one more commit."""
        return replace(self, accounts=self.accounts.plus(accounts), rejected=self.rejected + rejected)

    @property
    def level(self) -> Level:
        return "info" if self.batch is None else "debug"

    def text(self) -> str:
        if self.batch is None and self.span is None:
            return f"looked at {self.accounts.read} new records beyond what is closed"
        what = self.span if self.batch is None else f"batch {self.batch}"
        return f"published {what}: {self.accounts.published} rows of {self.accounts.read} new records"

    def facts(self) -> dict[str, object]:
        found: dict[str, object] = {"rows": self.accounts.to_json(), "rejected": self.rejected}
        if self.span is not None:
            found |= {"start": instant.iso(self.span.start), "end": instant.iso(self.span.end)}
        return found | {"batch": self.batch, "snapshot": self.snapshot}


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked(Event):
    """A micro-batch, or a job of a bounded run, has ended."""

    name: ClassVar[str] = "worked"
    seconds: float
    batch: int | None = None
    state_rows: int | None = None
    """Rows in the state of all operators, where Spark counts them."""
    state_bytes: int | None = None
    """Bytes of that state, in memory and in the store's files, where the query has state."""

    def facts(self) -> dict[str, object]:
        found: dict[str, object] = {
            "seconds": round(self.seconds, 3),
            "batch": self.batch,
            "state_rows": self.state_rows,
            "state_bytes": self.state_bytes,
        }
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitJudged(Event):
    """A suite has said something of a unit, and a commit shows it."""

    name: ClassVar[str] = "unit_judged"
    subject: str
    """The pipeline, or the parameter name of a source."""
    suite: str
    unit: Interval
    failed: tuple[str, ...]
    """Ids of the rules that are not kept."""
    is_fatal: bool
    """Whether one of them ends the run."""

    @property
    def verdict(self) -> str:
        """The verdict in one word: `met`, `failed`, or `fatal` where it ends the run."""
        return "fatal" if self.is_fatal else "failed" if self.failed else "met"

    @property
    def level(self) -> Level:
        return "warning" if self.failed else "debug"

    def text(self) -> str | None:
        return f"{self.subject}, {self.unit}: {self.verdict} ({', '.join(self.failed)})"

    def facts(self) -> dict[str, object]:
        return {
            "subject": self.subject,
            "suite": self.suite,
            "start": instant.iso(self.unit.start),
            "end": instant.iso(self.unit.end),
            "verdict": self.verdict,
            "rules": list(self.failed),
        }


@dataclass(frozen=True, slots=True)
class Followed(Event):
    """How far a sink is behind the table of record."""

    name: ClassVar[str] = "sink"
    sink: str
    behind: int
    """Commits that it has not taken in."""

    def facts(self) -> dict[str, object]:
        return {"sink": self.sink, "behind": self.behind}


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed(Event):
    """The age of what is published has passed the threshold of conf/, or has come back below it."""

    name: ClassVar[str] = "freshness"
    pipeline: str
    is_exceeded: bool
    is_first: bool
    """Whether it is what the run has found at first, rather than a change."""
    closed_through: int
    age: int
    """Microseconds from there to now."""
    threshold: int

    @property
    def is_news(self) -> bool:
        """Whether anybody wants to hear of it: that all is well at first is none."""
        return self.is_exceeded or not self.is_first

    @property
    def level(self) -> Level:
        return "warning" if self.is_exceeded else "info" if self.is_news else "debug"

    def text(self) -> str:
        age, threshold = (
            instant.spell(t // instant.SECOND * instant.SECOND) for t in (self.age, self.threshold)
        )
        how = f"older than the {threshold} of alerts.freshness" if self.is_exceeded else "fresh again"
        return f"{self.pipeline} is {how}: published through {instant.iso(self.closed_through)}, {age} ago"

    def facts(self) -> dict[str, object]:
        return {
            "exceeded": self.is_exceeded,
            "closed_through": instant.iso(self.closed_through),
            "age_seconds": self.age // instant.SECOND,
            "threshold_seconds": self.threshold // instant.SECOND,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Event):
    """A run of one pipeline has ended, well or not."""

    name: ClassVar[str] = "run_ended"
    seconds: float
    error: BaseException | None = None

    @property
    def outcome(self) -> str:
        """How, in one word: `done`; `failed`, `wrong` or `again` by the exit status; `interrupted`."""
        if self.error is None:
            return "done"
        if not isinstance(self.error, Exception):
            return "interrupted"
        return _BY_STATUS[self.error.exit_status if isinstance(self.error, Error) else 1]

    @property
    def level(self) -> Level:
        if self.error is None:
            return "info"
        return "error" if isinstance(self.error, Exception) else "warning"

    def text(self) -> str:
        return f"{self.outcome} after {self.seconds:.1f} s"

    def facts(self) -> dict[str, object]:
        found: dict[str, object] = {"outcome": self.outcome, "seconds": round(self.seconds, 3)}
        return found if self.error is None else found | {"error": type(self.error).__name__}


@dataclass(frozen=True, slots=True)
class Deaf(Event):
    """A listener has raised, and may not have heard what happens."""

    name: ClassVar[str] = "listener_failed"
    listener: str
    error: Exception

    @property
    def level(self) -> Level:
        return "warning"

    def text(self) -> str:
        return f"{self.listener} does not take what happens: {type(self.error).__name__}: {self.error}"


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """What a command ends with, in place of the words that it would print."""

    name: ClassVar[str] = "error"
    error: Exception
    stack: str | None = None

    @property
    def level(self) -> Level:
        return "error"

    def text(self) -> str:
        if isinstance(self.error, Error):
            return str(self.error)
        first = str(self.error).strip().splitlines()[:1]
        return ": ".join([type(self.error).__name__, *first])

    def facts(self) -> dict[str, object]:
        status = self.error.exit_status if isinstance(self.error, Error) else 1
        found: dict[str, object] = {"error": type(self.error).__name__, "exit_status": status}
        return found if self.stack is None else found | {"stack": self.stack}
