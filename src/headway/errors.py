"""Every error that headway raises on purpose::

    Error                 what, where, and a hint what to do next
    ├── UsageError        the call, the configuration or a definition is wrong  (exit 2)
    │   ├── ConfigError
    │   ├── DefinitionError
    │   └── CallError
    ├── TerminalError     the run failed: the data, a rule, a sink              (exit 1)
    │   ├── RejectedDataError
    │   ├── FailedRuleError
    │   ├── LostDataError
    │   └── ResultError
    └── TransientError    worth trying again as it is                           (exit 3)
        ├── UnavailableError
        ├── LeaseHeldError
        ├── FencedOffError
        └── NotYetClosedError

A message says what happened, where, and what to do next. Whose fault it is and whether
a retry helps are told apart by class, so that a scheduler needs only the exit status.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "CallError",
    "ConfigError",
    "DefinitionError",
    "Error",
    "FailedRuleError",
    "FencedOffError",
    "LeaseHeldError",
    "LostDataError",
    "NotYetClosedError",
    "RejectedDataError",
    "ResultError",
    "TerminalError",
    "TransientError",
    "UnavailableError",
    "UsageError",
    "suggestion",
]


class Error(Exception):
    """Root of headway's errors: what, where, and a hint what to do next."""

    exit_status = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        lines = [what if where is None else f"{where}: {what}"]
        if hint:
            lines.append(f"Hint: {hint}")
        super().__init__("\n".join(lines))


class UsageError(Error):
    """The call, the configuration or a definition is wrong; a retry changes nothing."""

    exit_status = 2


class ConfigError(UsageError):
    """A file in conf/ or modes/ is wrong."""


class DefinitionError(UsageError):
    """A file in pipelines/ defines something that cannot be run."""


class CallError(UsageError):
    """A command was called with arguments that make no sense together."""


class TerminalError(Error):
    """The run failed and would fail again: the data or a sink has to change first."""


class RejectedDataError(TerminalError):
    """More records of an arrival hour are dead letters than `max_rejects` allows."""


class FailedRuleError(TerminalError):
    """A rule of a suite that fails the run was broken; the words name the rule, the unit and some rows."""

    report: object | None = None
    """What the run had done until then, where it says so."""


class LostDataError(TerminalError):
    """Offsets that a run needs are gone: eaten by retention, or the topic was recreated."""


class ResultError(TerminalError):
    """The result breaks its own contract: duplicate keys, or a schema the sink cannot take."""


class TransientError(Error):
    """Nothing was made visible; the same call may succeed later."""

    exit_status = 3


class UnavailableError(TransientError):
    """A broker, a topic, a lookup, a catalog or a database is not there or does not answer."""


class LeaseHeldError(TransientError):
    """Another run writes this pipeline's range of output time."""


class FencedOffError(TransientError):
    """This run lost its lease; another one has taken over and this one must not commit."""


class NotYetClosedError(TransientError):
    """A named interval may still receive admitted records."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Compose the hint for an unknown name.

    >>> suggestion("hourli", ["daily", "hourly"])
    "Did you mean 'hourly'?"
    >>> suggestion("x", ["daily", "hourly"])
    'Known: daily, hourly.'
    """
    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Known: {', '.join(known)}." if known else "There is none yet."
