"""A `headway` command as the child of an Airflow task."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from tempfile import TemporaryFile
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

__all__ = ["FINAL", "Child"]

FINAL = (1, 2)
"""Exit statuses after which the same call would fail again."""
_LAST_WORDS = 6
_PATIENCE = 60.0


class Child:
    """One call of `headway`, whose exit status decides whether Airflow tries again."""

    def __init__(self, command: Sequence[str]) -> None:
        """Remember the command; nothing runs yet."""
        self._command = list(command)
        self._process: subprocess.Popen[str] | None = None
        self._is_asked_to_end = False

    def finish(self, say: Callable[[str], None]) -> dict[str, Any]:
        """Run the command to its end and return the object that it prints; empty where its driver runs elsewhere.

        Args:
            say: Takes each line of the command's stderr as it comes.

        Raises:
            AirflowFailException: It ended with 1 or 2: the same call would fail again.
            AirflowException: It ended with 3 or by a signal: the same call may succeed later.
        """
        last: deque[str] = deque(maxlen=_LAST_WORDS)
        with TemporaryFile("w+") as printed:
            # A session of its own: Airflow ends a task by a signal to its whole group, and a run that is
            # ended has to give its lease back before its JVM goes.
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._process = process
            if self._is_asked_to_end:
                self.end()
            assert process.stderr is not None
            with process.stderr as told:
                try:
                    for line in told:
                        say(line.rstrip())
                        last.append(line.rstrip())
                    status = process.wait()
                except BaseException:
                    self._end_now()
                    raise
            printed.seek(0)
            text = printed.read()
        if status == 0:
            answer: dict[str, Any] = json.loads(text) if text.strip() else {}
            return answer
        what = f"`{' '.join(self._command)}` ended with {_spelled(status)}:\n" + "\n".join(last)
        raise (AirflowFailException if status in FINAL else AirflowException)(what)

    def end(self) -> None:
        """Ask the command to end: a stream between two batches, a run by giving its lease back.

        Called from a signal's handler, so it waits for nothing.
        """
        self._is_asked_to_end = True
        if self._process is not None:
            self._process.terminate()

    def _end_now(self) -> None:
        """End the command and wait until it has: politely, then by force."""
        assert self._process is not None
        self.end()
        try:
            self._process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()


def _spelled(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"signal {-status}"
