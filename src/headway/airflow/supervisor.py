"""The task that sees that a stream runs."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import AssetAlias, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from headway import instant
from headway.airflow.child import FINAL, Child
from headway.airflow.operator import announce

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["SupervisorOperator"]

_PATIENCE = 300.0
_QUIET = 60.0
_LOOK = 0.2
_LAST_WORDS = 8
_CLOSED = "closed_through"


class SupervisorOperator(BaseOperator):  # type: ignore[misc]  # Airflow is not in the environment that is checked
    """See that a stream runs and how far behind it is; start it where it does not run.

    The stream is started in a session of its own, and the task ends: no slot is held. It is a process of
    the worker's machine, so that machine has to outlive the task. Who runs is read from the lease, by
    `headway status`; a second copy, wherever it is started, ends with exit status 3.

    What is closed further than at the check before is an event of the table's asset. The XCom is the
    pipeline's part of `headway status --json`.

    Args:
        command: `headway` with the options that stand before a command.
        project: The project's folder; the stream's output is added to `.headway/logs/` in it.
        pipeline: Name of the pipeline.
        mode: Name of a continuous mode.
        table: The pipeline's table of record, whose asset is changed.
        max_lag: Fail where the stream has published less far than the log is provably complete by more
            than this, in event time. None says nothing.
        submit: Options of `headway submit`, which then runs the stream; None runs it on the worker.
        **arguments: Airflow's own.
    """

    template_fields: Sequence[str] = ("command",)
    ui_color = "#dff3e3"

    def __init__(
        self,
        *,
        command: Sequence[str],
        project: Path,
        pipeline: str,
        mode: str,
        table: str,
        max_lag: timedelta | None = None,
        submit: Sequence[str] | None = None,
        **arguments: Any,
    ) -> None:
        tries = {"retries": 2, "retry_delay": timedelta(minutes=1)}
        super().__init__(**{**tries, "outlets": [AssetAlias(table)], **arguments})
        self.command = list(command)
        self.project = project
        self.pipeline = pipeline
        self.mode = mode
        self.table = table
        self.max_lag = max_lag
        self.submit = submit
        self._child: Child | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Check, and start where that is needed; called by Airflow."""
        state = self._status()
        if not self._runs(state):
            state = self._started()
        self._tell(context, state)
        lag = _lag(state)
        self.log.info("%s runs; %s behind, %s unread", self.pipeline, lag, state.get("lag_records"))
        if self.max_lag is not None and lag is not None and lag > self.max_lag:
            raise AirflowFailException(
                f"{self.pipeline} runs, and lags by {lag}, more than {self.max_lag}: published through "
                f"{state[_CLOSED]}, complete through {state['frontier']}\nHint: `headway status {self.pipeline}`."
            )
        return state

    def on_kill(self) -> None:
        """End a check; called by Airflow. The stream goes on."""
        if self._child is not None:
            self._child.end()

    def _status(self) -> dict[str, Any]:
        self._child = Child([*self.command, "--json", "status", self.pipeline])
        answer = self._child.finish(lambda line: self.log.info("%s", line))
        found: dict[str, Any] = answer["pipelines"][0]
        return found

    def _runs(self, state: dict[str, Any]) -> bool:
        return any(run["mode"] == self.mode for run in state.get("runs", ()))

    def _started(self) -> dict[str, Any]:
        """Start the stream, wait until it holds its lease, and return the status then."""
        log = self.project / ".headway" / "logs" / f"{self.pipeline}_{self.mode}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        way = "run" if self.submit is None else "submit"
        words = [*self.command, way, self.pipeline, "--mode", self.mode, *(self.submit or ())]
        with log.open("ab") as out:
            began = out.tell()
            stream = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self.log.info("started process %s on %s; its output is in %s", stream.pid, os.uname().nodename, log)
        deadline = time.monotonic() + _PATIENCE
        while True:
            self._wait_for_its_word(stream, log, began)
            status = stream.poll()
            state = self._status()
            if self._runs(state):
                return state
            if status is not None:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_WORDS:])
                error = AirflowFailException if status in FINAL else AirflowException
                raise error(f"`{' '.join(words)}` ended with {status}; the end of {log}:\n{tail}")
            if time.monotonic() > deadline:
                raise AirflowException(
                    f"process {stream.pid} has not taken the lease within {_PATIENCE:.0f} s; see {log}"
                )

    def _wait_for_its_word(self, stream: subprocess.Popen[bytes], log: Path, began: int) -> None:
        """Wait until the stream says that it runs, as asking for the status costs a JVM; it may say so elsewhere."""
        deadline = time.monotonic() + _QUIET
        while stream.poll() is None and time.monotonic() < deadline:
            with log.open("rb") as said:
                said.seek(began)
                if f"{self.pipeline}: streaming".encode() in said.read():
                    return
            time.sleep(_LOOK)

    def _tell(self, context: Context, state: dict[str, Any]) -> None:
        closed = state.get(_CLOSED)
        before = context["ti"].xcom_pull(key=_CLOSED, include_prior_dates=True)
        if closed is not None and (before is None or instant.parse(closed) > instant.parse(before)):
            announce(context, self.table, {"pipeline": self.pipeline, "mode": self.mode, _CLOSED: closed})
        context["ti"].xcom_push(key=_CLOSED, value=closed)


def _lag(state: dict[str, Any]) -> timedelta | None:
    closed = state.get(_CLOSED)
    if closed is None:
        return None
    behind = instant.parse(state["frontier"]) - instant.parse(closed)
    return timedelta(microseconds=max(0, behind))
