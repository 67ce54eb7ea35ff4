"""A server process that outlives the command which started it, and can be found again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from headway.errors import UnavailableError

__all__ = ["Process", "free_port", "start_time"]

_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Process:
    """A started server: its process id and the time of its start, which together are unique."""

    pid: int
    started: str

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        folder: Path | None = None,
    ) -> Process:
        """Start a command in a session of its own, its output in a file; in a folder, or where this process is."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            child = subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
                cwd=folder,
                start_new_session=True,
            )
        return cls(child.pid, start_time(child.pid) or "")

    @classmethod
    def load(cls, file: Path) -> Process | None:
        """Return the process that a file remembers, where it still runs."""
        try:
            remembered = cls(**json.loads(file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return remembered if remembered.is_running else None

    def save(self, file: Path) -> None:
        """Remember the process in a file."""
        file.write_text(json.dumps(asdict(self)))

    @property
    def is_running(self) -> bool:
        """Whether the very process that was started still runs."""
        return bool(self.started) and start_time(self.pid) == self.started

    def wait_until(self, is_ready: Callable[[], bool], *, name: str, log: Path) -> None:
        """Wait until the server answers.

        Raises:
            UnavailableError: It ended, or did not answer within a minute; with its last words.
        """
        deadline = time.monotonic() + _PATIENCE
        while not is_ready():
            if not self.is_running or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
                raise UnavailableError(f"{name} did not start:\n{tail}", where=str(log))
            time.sleep(0.05)

    def stop(self) -> None:
        """End the process: politely, then by force after 20 seconds."""
        for sign, patience in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0)):
            if not self.is_running:
                return
            os.kill(self.pid, sign)
            deadline = time.monotonic() + patience
            while self.is_running and time.monotonic() < deadline:
                _reap(self.pid)
                time.sleep(0.05)


def free_port() -> int:
    """Return a port on loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_time(pid: int) -> str | None:
    """Return when a process started, as the kernel words it; None where it is gone or a zombie.

    Together with the process id it is unique: ids are given out again.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _start_time_elsewhere(pid) if not Path("/proc/self").exists() else None
    return None if fields[0] == "Z" else fields[19]


def _start_time_elsewhere(pid: int) -> str | None:
    said = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or None


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
