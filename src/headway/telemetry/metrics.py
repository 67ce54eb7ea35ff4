"""The Prometheus metrics of one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from headway import instant
from headway.accounts import Accounts
from headway.telemetry.events import (
    OUTCOMES,
    Crossed,
    Ended,
    Event,
    Followed,
    Published,
    Reached,
    Standing,
    UnitJudged,
    Worked,
)

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.registry import Collector

__all__ = ["COMMON", "METRICS", "Definition", "Metrics"]

_FATES = ("admitted", "late", "early", "dead", "tombstones")
_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)
COMMON = ("pipeline", "mode")
"""Labels of every metric."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric."""

    name: str
    """Without the suffixes that Prometheus' format adds to histograms."""
    type: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    """Beside those of all."""
    unit: str
    meaning: str


METRICS = (
    Definition(
        "headway_frontier_timestamp_seconds",
        "gauge",
        ("source",),
        "Unix time",
        "Frontier of a source, or of a pipeline that is read: no admitted record before it can still come.",
    ),
    Definition(
        "headway_closed_through_timestamp_seconds",
        "gauge",
        (),
        "Unix time",
        "Everything before it is published and final.",
    ),
    Definition(
        "headway_freshness_exceeded",
        "gauge",
        (),
        "0 or 1",
        "Whether what is published is older than alerts.freshness allows; absent without that setting.",
    ),
    Definition(
        "headway_corrections_queued",
        "gauge",
        (),
        "ranges",
        "Ranges of output time that wait for a correction.",
    ),
    Definition(
        "headway_sink_lag_commits",
        "gauge",
        ("sink",),
        "commits",
        "Commits of the table of record that a sink has not taken in.",
    ),
    Definition(
        "headway_records_total",
        "counter",
        ("fate",),
        "records",
        "New records by what became of them: admitted, late, early, dead or tombstones. They add up to what was read.",
    ),
    Definition(
        "headway_quarantined_records_total",
        "counter",
        (),
        "records",
        "Those of the late, early and dead ones that went to the quarantine table.",
    ),
    Definition(
        "headway_published_rows_total",
        "counter",
        (),
        "rows",
        "Rows that became visible, as the sink counted them.",
    ),
    Definition(
        "headway_rejected_rows_total", "counter", (), "rows", "Rows of the result that rules have left out."
    ),
    Definition(
        "headway_units_judged_total",
        "counter",
        ("subject", "verdict"),
        "units",
        "Units that suites have judged: met, failed, or fatal where a failed rule ends the run.",
    ),
    Definition(
        "headway_batch_seconds",
        "histogram",
        (),
        "seconds",
        "Time that a micro-batch took, or a job of a bounded run.",
    ),
    Definition(
        "headway_state_rows",
        "gauge",
        (),
        "rows",
        "Rows in a stream's state; absent unless Spark counts them.",
    ),
    Definition(
        "headway_state_bytes",
        "gauge",
        (),
        "bytes",
        "Size of a stream's state: what it takes in memory and in the files of its store.",
    ),
    Definition(
        "headway_runs_total",
        "counter",
        ("outcome",),
        "runs",
        "Runs that have ended: done, failed (exit status 1), wrong (2), again (3) or interrupted.",
    ),
    Definition("headway_run_seconds", "gauge", (), "seconds", "Time that the last run took."),
    Definition(
        "headway_last_success_timestamp_seconds",
        "gauge",
        (),
        "Unix time",
        "When a run last ended well.",
    ),
)


class Metrics:
    """Counts what a run tells; a collector of prometheus-client, in no registry of the process."""

    def __init__(self, pipeline: str, mode: str, *, clock: Callable[[], float] = time.time) -> None:
        """Begin at nothing.

        Args:
            pipeline: Value of the label.
            mode: Value of the label.
            clock: Seconds since the epoch.
        """
        import prometheus_client

        kinds: dict[str, Any] = {"gauge": prometheus_client.Gauge, "counter": prometheus_client.Counter}
        self._common = (pipeline, mode)
        self._clock = clock
        self._made: dict[str, Any] = {}
        for d in METRICS:
            labels = (*COMMON, *d.labels)
            if d.type == "histogram":
                made: Any = prometheus_client.Histogram(
                    d.name, d.meaning, labels, registry=None, buckets=_BUCKETS
                )
            else:
                made = kinds[d.type](d.name, d.meaning, labels, registry=None)
            self._made[d.name] = made
        # A series that begins at 1 has not increased, as Prometheus counts.
        self._count(Published(accounts=Accounts()))
        for outcome in OUTCOMES:
            self._of("runs_total", outcome)

    def collect(self) -> Iterable[Metric]:
        """Return what was counted, as prometheus-client asks for it."""
        for made in self._made.values():
            for metric in _collected(made):
                if metric.samples:
                    yield metric

    def take(self, event: Event) -> None:
        """See `headway.telemetry.telemetry.Listener`."""
        match event:
            case Reached():
                for source, at in event.known.items():
                    self._of("frontier_timestamp_seconds", source).set(at / instant.SECOND)
            case Standing(closed_through, corrections):
                self._of("corrections_queued").set(corrections)
                if closed_through is not None:
                    self._of("closed_through_timestamp_seconds").set(closed_through / instant.SECOND)
            case Published():
                self._count(event)
            case Worked():
                self._of("batch_seconds").observe(event.seconds)
                if event.state_rows is not None:
                    self._of("state_rows").set(event.state_rows)
                if event.state_bytes is not None:
                    self._of("state_bytes").set(event.state_bytes)
            case UnitJudged():
                self._of("units_judged_total", event.subject, event.verdict).inc()
            case Followed(sink, behind):
                self._of("sink_lag_commits", sink).set(behind)
            case Crossed():
                self._of("freshness_exceeded").set(int(event.is_exceeded))
            case Ended():
                self._of("runs_total", event.outcome).inc()
                self._of("run_seconds").set(event.seconds)
                if event.outcome == "done":
                    self._of("last_success_timestamp_seconds").set(self._clock())
            case _:
                pass

    def _count(self, event: Published) -> None:
        counted = event.accounts.to_json()
        for fate in _FATES:
            self._of("records_total", fate).inc(counted[fate])
        self._of("quarantined_records_total").inc(event.accounts.quarantined)
        self._of("published_rows_total").inc(event.accounts.published)
        self._of("rejected_rows_total").inc(event.rejected)

    def _of(self, name: str, *labels: str) -> Any:
        return self._made[f"headway_{name}"].labels(*self._common, *labels)


def _collected(made: Collector) -> Iterable[Metric]:
    """Return a metric without the moments at which its series were made, which the text format would show as gauges."""
    for metric in made.collect():
        metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
        yield metric
