"""A project as Airflow runs it, and its DAGs."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    AssetAny,
    AssetOrTimeSchedule,
    CronDataIntervalTimetable,
    CronTriggerTimetable,
)

from headway import instant
from headway.airflow import definitions
from headway.airflow.definitions import Defined, Definitions
from headway.airflow.operator import HeadwayOperator
from headway.airflow.supervisor import SupervisorOperator
from headway.errors import CallError
from headway.mode import Mode

__all__ = ["Deployment"]

_DAY = instant.duration("1 day")
_HOUR = instant.duration("1 hour")
_MINUTE = instant.duration("1 minute")


@dataclass(frozen=True)
class Deployment:
    """Where a project and its `headway` are. Reading its definitions starts no JVM and imports no Spark."""

    project: Path
    """Folder of the project, on every machine that runs its tasks."""
    _: KW_ONLY
    executable: str | None = None
    """The `headway` of the project's environment. None means `$HEADWAY_EXECUTABLE`, else
    `.venv/bin/headway` in the project."""
    environment: str = field(default_factory=lambda: os.environ.get("HEADWAY_ENV", "local"))
    """Which layer of conf/ to use."""
    submit: tuple[str, ...] | None = None
    """Options of `headway submit`, such as `("--master", "yarn")`: runs go through spark-submit. None runs them
    on Airflow's worker."""

    @property
    def command(self) -> list[str]:
        """The words that begin each call of `headway`.

        Raises:
            CallError: There is no such executable.
        """
        own = self.project / ".venv" / "bin" / "headway"
        executable = Path(self.executable or os.environ.get("HEADWAY_EXECUTABLE") or own)
        if not executable.is_file():
            raise CallError(
                f"there is no {executable}",
                hint="Name the headway of the project's environment: Deployment(executable=...) or HEADWAY_EXECUTABLE.",
            )
        return [str(executable), "--project", str(self.project.resolve()), "--env", self.environment]

    @cached_property
    def definitions(self) -> Definitions:
        """The project's pipelines and modes."""
        return definitions.read(self.command, self.project)

    def dag(self, pipeline: str, *, mode: str, max_lag: timedelta | None = None, **arguments: Any) -> DAG:
        """Return the DAG that runs a pipeline in a mode.

        - A bounded mode: a run for each interval, whose data interval is the mode's in conf's zone. Task
          `publish` publishes it, `due` then corrections and whatever else is due.
        - A pipeline that reads tables of other pipelines of the project: a run when one of them has
          changed, whichever mode wrote it, with the task `due` alone.
        - A continuous mode: a run every five minutes that sees that the stream runs, and starts it where
          it does not. No run lasts as long as the stream.

        Args:
            pipeline: Name of a pipeline.
            mode: Name of a mode.
            max_lag: Of a stream: fail the check where it has published less far than the log is provably
                complete by more than this, in event time.
            **arguments: Airflow's own, over those that are made here: `dag_id`, `start_date`, `schedule`,
                `catchup`, `default_args` and so on.

        Raises:
            CallError: There is no such pipeline or mode, or Airflow has no schedule for the mode's interval.
        """
        defined, chosen = self.definitions.pipeline(pipeline), self.definitions.mode(mode)
        own = {"dag_id": f"{pipeline}_{mode}", "max_active_runs": 1, "catchup": False, "tags": ["headway"]}
        schedule = arguments.pop("schedule", None) or self._schedule(defined, chosen)
        with DAG(schedule=schedule, **{**own, **arguments}) as dag:
            if not chosen.is_bounded:
                SupervisorOperator(
                    task_id="supervise",
                    command=self.command,
                    project=self.project,
                    pipeline=pipeline,
                    mode=mode,
                    table=defined.table,
                    max_lag=max_lag,
                    submit=self.submit,
                )
            elif defined.reads:
                self._run(defined, chosen, "due", named=False)
            else:
                due = self._run(defined, chosen, "due", named=False, newest_only=True)
                self._run(defined, chosen, "publish") >> due
        return dag

    def _run(self, defined: Defined, mode: Mode, task: str, **arguments: Any) -> HeadwayOperator:
        return HeadwayOperator(
            task_id=task,
            command=self.command,
            pipeline=defined.name,
            mode=mode.name,
            table=defined.table,
            wait=timedelta(microseconds=defined.closes_after),
            schedule=mode.schedule,
            zone=self.definitions.zone,
            submit=self.submit,
            **arguments,
        )

    def _schedule(self, defined: Defined, mode: Mode) -> Any:
        if not mode.is_bounded:
            return CronTriggerTimetable("*/5 * * * *", timezone="UTC")
        expression, zone = _cron(mode, self.definitions.zone)
        if not defined.reads:
            return CronDataIntervalTimetable(expression, timezone=zone)
        upstream = [Asset(self.definitions.pipeline(name).table) for name in defined.reads]
        if not defined.has_sources:
            return AssetAny(*upstream)
        clock = CronTriggerTimetable(mode.schedule or expression, timezone=self.definitions.zone)
        return AssetOrTimeSchedule(assets=AssetAny(*upstream), timetable=clock)


def _cron(mode: Mode, zone: str) -> tuple[str, str]:
    """Return the cron expression of the bounds of a mode's intervals, and its zone.

    Raises:
        CallError: There is none: intervals count from the epoch, and cron counts within hours and days.
    """
    length = mode.grid(zone).length
    if length == _DAY:
        return "0 0 * * *", zone
    if length % _HOUR == 0 and _DAY % length == 0:
        return f"0 */{length // _HOUR} * * *", "UTC"
    if length % _MINUTE == 0 and _HOUR % length == 0:
        return f"*/{length // _MINUTE} * * * *", "UTC"
    raise CallError(
        f"Airflow has no schedule for the intervals of mode {mode.name!r}, {mode.every} each",
        hint="Use a day, or what divides an hour or a day: 15 minutes, 1 hour, 6 hours.",
    )
