"""How the records of a range have arrived: lag, late share, how many an hour, and a sample of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from headway import instant
from headway.comparison import Lag
from headway.freshness import Sent
from headway.interval import Interval
from headway.plan.analysis import record_schema
from headway.run import admission
from headway.run.admission import FATE, Fate
from headway.run.job import Cut, Job

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

__all__ = ["Arrivals", "arrivals", "sample"]

_HOUR = 3_600 * instant.SECOND
_SAMPLE = 20_000
"""About how many records freshness is worked out from."""
_LATE = (Fate.LATE, Fate.CORRECTABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """The records whose event time lies in a range, over all sources."""

    records: int
    late: int
    value_bytes: int
    lag: Lag
    rates: dict[int, float]
    """Records per second in each hour of arrival, by the hour's first instant."""

    @property
    def late_share(self) -> float:
        """Share of the records that are late."""
        return self.late / self.records if self.records else 0.0


def arrivals(job: Job, cut: Cut, interval: Interval) -> Arrivals:
    """Read a range's records once and count them."""
    from pyspark.sql import functions as F

    each = [given.select("a", "e", "bytes", FATE) for given in _records(job, cut, interval).values()]
    records = reduce(lambda a, b: a.unionByName(b), each)
    lag = (F.col("a") - F.col("e")) / instant.SECOND
    row = records.agg(
        F.count(F.lit(1)).alias("records"),
        F.count(F.when(F.col(FATE).isin(*map(int, _LATE)), 1)).alias("late"),
        F.sum("bytes").alias("bytes"),
        F.percentile_approx(lag, [0.5, 0.95, 0.99], 10_000).alias("lag"),
    ).first()
    assert row is not None
    hours = records.groupBy(F.floor(F.col("a") / _HOUR).alias("hour")).count().collect()
    low, mid, high = row["lag"] or (0.0, 0.0, 0.0)
    return Arrivals(
        records=row["records"],
        late=row["late"],
        value_bytes=row["bytes"] or 0,
        lag=Lag(round(low, 3), round(mid, 3), round(high, 3)),
        rates={r["hour"] * _HOUR: r["count"] / 3_600 for r in hours},
    )


def sample(job: Job, cut: Cut, interval: Interval, known: Arrivals, rows: DataFrame) -> list[Sent]:
    """Return some of the records that have a part in the result, spread evenly, with the output time of their first row.

    For a window that is the first one to end that holds the record and, where the plan groups by
    columns of the record, has the same values there. Elsewhere the record's event time is taken.

    Args:
        job: The pipeline.
        cut: Where the logs end.
        interval: The range of event time.
        known: How many there are.
        rows: The result over the range.
    """
    from pyspark.sql import functions as F

    every = max(1, known.records // _SAMPLE)
    found: list[Sent] = []
    for name, given in _records(job, cut, interval).items():
        source = job.pipeline.sources[name]
        shown = [Fate.ADMITTED, *([Fate.CORRECTABLE] if source.late == "correct" else [])]
        taken = given.filter(F.col(FATE).isin(*map(int, shown)))
        taken = taken.filter(F.pmod(F.xxhash64("p", "o"), F.lit(every)) == 0)
        found += _placed(job, name, taken, rows)
    return sorted(found, key=lambda sent: sent.arrival)


def _placed(job: Job, name: str, taken: DataFrame, rows: DataFrame) -> list[Sent]:
    from pyspark.sql import functions as F

    grid = job.analysis.reach.grid
    if grid is not None:
        each = [(r["a"], r["e"] - r["e"] % grid + grid - 1) for r in taken.select("a", "e").toLocalIterator()]
    elif not job.analysis.is_window:
        each = [(r["a"], r["e"]) for r in taken.select("a", "e").toLocalIterator()]
    else:
        shared = _shared(job, name)
        window = F.col(f"`{job.pipeline.output_time}`")
        windows = rows.select(
            F.unix_micros(window["start"]).alias("from"),
            F.unix_micros(window["end"]).alias("until"),
            *[F.col(f"`{c}`").alias(f"row_{n}") for n, c in enumerate(shared)],
        ).distinct()
        holds: Column = (F.col("from") <= F.col("e")) & (F.col("e") < F.col("until"))
        for number in range(len(shared)):
            holds = holds & F.col(f"g{number}").eqNullSafe(F.col(f"row_{number}"))
        kept = [f"g{number}" for number in range(len(shared))]
        first = (
            taken.select("a", "e", "p", "o", *kept)
            .join(windows, holds)
            .groupBy("p", "o", "a")
            .agg(F.min("until").alias("until"))
        )
        each = [(r["a"], r["until"] - 1) for r in first.toLocalIterator()]
    return [Sent(arrival, output) for arrival, output in each]


def _shared(job: Job, name: str) -> list[str]:
    """Return the columns that the plan groups by and that both a source's records and the result have."""
    own = {f.name: f.dataType for f in record_schema(job.pipeline.sources[name]).fields}
    result = {f.name: f.dataType for f in job.analysis.schema.fields}
    return [c for c in job.analysis.operators.group_columns if c in own and result.get(c) == own[c]]


def _records(job: Job, cut: Cut, interval: Interval) -> Mapping[str, DataFrame]:
    """Return each source's records: `a`, `e` in microseconds, `p`, `o`, `bytes`, the fate, and `g0`... to group by."""
    from pyspark.sql import functions as F

    found = {}
    for name, log in job.logs.items():
        source = job.pipeline.sources[name]
        ends = cut.ends[name].offsets
        start = log.offsets_at(instant.clamp(interval.start - source.earliness_micros), ends)
        judged = admission.judge(log.read(job.spark, start, ends), source, job.checks.get(name))
        e = admission.event_time(source)
        found[name] = judged.filter((e >= interval.start) & (e < interval.end)).select(
            F.unix_micros(admission.log_field("arrival")).alias("a"),
            e.alias("e"),
            admission.log_field("partition").alias("p"),
            admission.log_field("offset").alias("o"),
            F.coalesce(F.octet_length(admission.RAW), F.lit(0)).alias("bytes"),
            FATE,
            *[F.col(f"`{c}`").alias(f"g{n}") for n, c in enumerate(_shared(job, name))],
        )
    return found
