"""The task that runs a pipeline in a bounded mode."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, AssetAlias, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException, AirflowSkipException
from croniter import croniter

from headway.airflow.child import Child

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["RETRIES", "HeadwayOperator", "announce"]

RETRIES: dict[str, Any] = {
    "retries": 8,
    "retry_delay": timedelta(minutes=2),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=30),
}
"""Airflow's arguments for exit status 3, over two hours and a half, where a DAG sets no others."""


class HeadwayOperator(BaseOperator):  # type: ignore[misc]  # Airflow is not in the environment that is checked
    """Run `headway run` on the interval of the DAG's run, or on whatever is due.

    Exit status 3 is tried again by Airflow's own retries; 1 and 2 fail at once. The object that
    `headway run --json` prints is the task's XCom. Where it published something, an event of the
    table's asset follows, so that what is scheduled by the table runs.

    A run of `airflow backfill` claims its interval only (`headway backfill`), so several may run at once.
    A task that Airflow ends passes SIGTERM on, and the run gives its lease back. If the worker itself is
    killed, the run goes on; a retry is told so by exit status 3, as the lease is held.

    Args:
        command: `headway` with the options that stand before a command.
        pipeline: Name of the pipeline.
        mode: Name of a bounded mode.
        table: The pipeline's table of record, whose asset is changed.
        named: Whether the interval of the DAG's run is published. Else whatever is due is: closed
            intervals that are not published, corrections, and under `emit="early"` open intervals.
        newest_only: Skip the task in backfills, and where a later interval has ended already.
        wait: How long after an interval's end the first try is made. No slot is held meanwhile.
        schedule: Cron expression of the instants at which tries begin, in `zone`; none means at once.
        zone: IANA name.
        submit: Options of `headway submit`, which then runs the pipeline. With the driver in cluster deploy
            mode spark-submit tells neither the exit status (a failure is always 1) nor the result, so
            every success is an event. None runs it on the worker.
        **arguments: Airflow's own. Retries are `RETRIES` without them.
    """

    template_fields: Sequence[str] = ("command",)
    ui_color = "#dbe9f6"

    def __init__(
        self,
        *,
        command: Sequence[str],
        pipeline: str,
        mode: str,
        table: str,
        named: bool = True,
        newest_only: bool = False,
        wait: timedelta = timedelta(0),
        schedule: str | None = None,
        zone: str = "UTC",
        submit: Sequence[str] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**{**RETRIES, "outlets": [AssetAlias(table)], **arguments})
        self.command = list(command)
        self.pipeline = pipeline
        self.mode = mode
        self.table = table
        self.named = named
        self.newest_only = newest_only
        self.wait = wait
        self.schedule = schedule
        self.zone = zone
        self.submit = submit
        self._child: Child | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the pipeline; called by Airflow."""
        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        is_backfill = context["dag_run"].run_type == "backfill"
        words = [self.pipeline, "--mode", self.mode]
        if self.newest_only:
            _skip_unless_newest(start, end, is_backfill=is_backfill)
        if self.named and start is not None and end is not None:
            if start >= end:
                raise AirflowFailException(
                    f"the data interval of this run has no width: it starts and ends at {start.isoformat()}, "
                    "so there is nothing to publish.\nHint: a bare cron string as a DAG's schedule does that; "
                    "use CronDataIntervalTimetable of airflow.sdk, as headway.airflow.Deployment.dag does."
                )
            self._hold_until_it_may_be_closed(end)
            words += ["--start", start.isoformat(), "--end", end.isoformat()]
        claims_part = is_backfill and self.named
        if self.submit is None:
            words = ["backfill" if claims_part else "run", *words]
        else:
            words = ["submit", *words, *(["--backfill"] if claims_part else []), *self.submit]
        self._child = Child([*self.command, "--json", *words])
        done = self._child.finish(lambda line: self.log.info("%s", line))
        published = done.get("intervals")
        if published or not done:
            facts = {"pipeline": self.pipeline, "mode": self.mode, "intervals": published}
            announce(context, self.table, facts)
        return done

    def on_kill(self) -> None:
        """Pass the end on to the run; called by Airflow when the task is ended or runs out of time."""
        if self._child is not None:
            self._child.end()

    def _hold_until_it_may_be_closed(self, end: datetime) -> None:
        earliest = end + self.wait
        if self.schedule is not None:
            zone = ZoneInfo(self.zone)
            local = earliest.astimezone(zone).replace(tzinfo=None) - timedelta(seconds=1)
            earliest = croniter(self.schedule, local).get_next(datetime).replace(tzinfo=zone)
        if datetime.now(UTC) < earliest:
            self.log.info("the interval may be closed at %s; waiting until then", earliest.isoformat())
            raise AirflowRescheduleException(earliest)


def announce(context: Context, table: str, facts: dict[str, Any]) -> None:
    """Tell Airflow that a table has changed: whatever is scheduled by its asset runs.

    The task has `AssetAlias(table)` among its outlets. An outlet that is an asset would tell so after every
    success, also of a run that found nothing to do.
    """
    context["outlet_events"][AssetAlias(table)].add(Asset(table), extra=facts)


def _skip_unless_newest(start: datetime | None, end: datetime | None, *, is_backfill: bool) -> None:
    if is_backfill:
        raise AirflowSkipException("a backfill publishes its own interval only")
    if start is not None and end is not None and end + (end - start) <= datetime.now(UTC):
        raise AirflowSkipException("the run of a later interval looks at what is due")
