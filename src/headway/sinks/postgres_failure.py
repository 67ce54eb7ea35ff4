"""Why Postgres did not take a change, in its own words and without the values of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg.errors import UniqueViolation

from headway.errors import Error, ResultError, TransientError, UnavailableError

__all__ = ["Failure"]

_GONE = ("08", "57P")
"""How the codes of errors begin that end a connection."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a table. A task of Spark can return it."""

    kind: Literal["away", "stopped", "refused"]
    """Whether the database does not answer, has stopped what it did, or does not take the rows."""
    said: str

    @classmethod
    def of(cls, exc: psycopg.Error) -> Failure:
        """Tell from what psycopg raised."""
        said = exc.diag.message_primary or str(exc)
        if not isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError):
            return cls(
                "refused", f"{said}, as rows have equal keys" if isinstance(exc, UniqueViolation) else said
            )
        if exc.sqlstate is not None and not exc.sqlstate.startswith(_GONE):
            return cls("stopped", said)
        first, *_ = str(exc).strip().splitlines() or ["the connection is gone"]
        return cls("away", first)

    def error(self, database: str, table: str) -> Error:
        """Return what is raised for it.

        Args:
            database: Its name in conf/.
            table: What could not be changed.
        """
        if self.kind == "away":
            return UnavailableError(
                f"the Postgres database {database!r} does not answer: {self.said}",
                hint="What the other sinks lack is made up for by the same command, once it does.",
            )
        if self.kind == "stopped":
            return TransientError(
                f"the Postgres database {database!r} gave up a change of {table}, which is as it was: {self.said}",
                hint="Run the same command again; it makes up for what the table lacks.",
            )
        return ResultError(
            f"Postgres refuses what is to go into {table}: {self.said}",
            hint="Mend the rows or the table; the next run makes up for what is missing.",
        )
