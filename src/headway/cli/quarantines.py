"""Commands about what was left out: quarantine list, show, replay."""

from __future__ import annotations

import getpass
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headway.cli.context import Context
from headway.cli.sessions import spark_for
from headway.errors import CallError
from headway.interval import Interval
from headway.offsets import Offsets
from headway.ownership import Ownership
from headway.pipeline import Pipeline
from headway.quality.masking import masked
from headway.result import Result
from headway.run.books import Books
from headway.run.decisions import POSITION
from headway.sinks.iceberg_history import History

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["Wanted", "list_", "replay", "show"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries a command is about."""

    source: str | None = None
    """Name of a topic, queue or table."""
    fate: str | None = None
    """`late`, `early`, `dead` or `rejected` for records; `rule` for rows of the result."""
    rule: str | None = None
    """Id of a rule that was broken."""
    span: Interval | None = None
    """Arrival of records, output time of rows."""


class _Entries:
    """The quarantined records and rejected rows of one pipeline, with what has become of them."""

    def __init__(self, spark: SparkSession, pipeline: Pipeline) -> None:
        self.books = Books(spark, pipeline.name, pipeline.sink.table)
        self._spark = spark
        if not spark.catalog.tableExists(self.books.name("quarantine")):
            raise CallError(f"pipeline {pipeline.name!r} has never run", hint="There is nothing to show yet.")
        history = History(
            spark, pipeline.sink.table, Result(output_time=pipeline.output_time, is_window=False, keys=())
        )
        own = history.newest().get("ownership")
        self._ownership = Ownership.from_json(own) if own else Ownership()

    @property
    def _taken(self) -> int:
        return self._ownership.position.get(POSITION, Offsets({})).get(0, 0)

    def records(self, wanted: Wanted) -> DataFrame:
        """Return quarantined records: the table's columns of the newest attempt, `attempts` and `state`."""
        from pyspark.sql import Window
        from pyspark.sql import functions as F

        place = ["source", "log", "partition", "offset"]
        newest = F.row_number().over(Window.partitionBy(*place).orderBy(F.desc("attempt")))
        held = self._spark.table(self.books.name("quarantine")).withColumn("__n", newest).filter("__n = 1")
        asked = (
            self._spark.table(self.books.name("decisions"))
            .filter("source IS NOT NULL")
            .groupBy(*place)
            .agg(
                F.count(F.lit(1)).alias("asked"),
                F.count(F.when(F.col("number") <= self._taken, 1)).alias("attempts"),
            )
        )
        joined = held.join(asked, place, "left").fillna(0, ["asked", "attempts"])
        came_in = "waits for a run" if self._ownership.pending else "resolved"
        state = (
            F.when(F.col("asked") > F.col("attempts"), "waits for a run")
            .when(F.col("attempt") < F.col("attempts"), came_in)
            .otherwise("open")
        )
        found = joined.withColumn("state", state)
        if wanted.source is not None:
            found = found.filter(F.col("source") == wanted.source)
        if wanted.fate is not None:
            found = found.filter(F.col("fate") == wanted.fate)
        if wanted.rule is not None:
            listed = F.concat(F.regexp_replace("reason", "^breaks ", ", "), F.lit(", "))
            found = found.filter(
                (F.col("fate") == "rejected") & F.contains(listed, F.lit(f", {wanted.rule}, "))
            )
        return found.filter(_within("arrival", wanted.span)).drop("__n", "asked", "attempt")

    def rows(self, wanted: Wanted) -> DataFrame:
        """Return rejected rows of the result: the table's columns, `attempts` and `state`."""
        from pyspark.sql import functions as F

        held = self._spark.table(self.books.name("rejected")).withColumn(
            "__id", F.monotonically_increasing_id()
        )
        asked = (
            self._spark.table(self.books.name("decisions"))
            .filter("source IS NULL")
            .select("number", "interval_start", "interval_end")
        )
        about = (F.col("output_time") >= F.col("interval_start")) & (
            F.col("output_time") < F.col("interval_end")
        )
        found = (
            held.join(F.broadcast(asked), about, "left")
            .groupBy(*held.columns)
            .agg(
                F.count(F.when(F.col("number") <= self._taken, 1)).alias("attempts"),
                F.count(F.when(F.col("number") > self._taken, 1)).alias("asked"),
            )
            .withColumn("state", F.when(F.col("asked") > 0, "waits for a run").otherwise("open"))
        )
        if wanted.source is not None or wanted.fate not in (None, "rule"):
            return found.limit(0).drop("__id", "asked")
        if wanted.rule is not None:
            found = found.filter(F.array_contains("rules", wanted.rule))
        return found.filter(_within("output_time", wanted.span)).drop("__id", "asked")


def list_(context: Context, name: str) -> None:
    """Show how many records and rows were left out, why, and what has become of them."""
    from pyspark.sql import functions as F

    with spark_for(context) as spark:
        entries = _Entries(spark, context.project.pipeline(name))
        records = (
            entries.records(Wanted())
            .groupBy("source", "fate", "reason", "state")
            .agg(F.count(F.lit(1)).alias("count"), F.max("attempts"), F.min("arrival"), F.max("arrival"))
            .orderBy("source", "fate", "reason", "state")
            .collect()
        )
        rows = (
            entries.rows(Wanted())
            .groupBy(F.array_join("rules", ", ").alias("reason"), "state")
            .agg(
                F.count(F.lit(1)).alias("count"),
                F.max("attempts"),
                F.min("output_time"),
                F.max("output_time"),
            )
            .orderBy("reason", "state")
            .collect()
        )
    groups: list[dict[str, Any]] = [
        {
            "source": r["source"],
            "fate": r["fate"],
            "reason": r["reason"],
            "state": r["state"],
            "count": r["count"],
            "attempts": r["max(attempts)"],
            "first": r["min(arrival)"],
            "last": r["max(arrival)"],
        }
        for r in records
    ] + [
        {
            "source": None,
            "fate": "rule",
            "reason": f"breaks {r['reason']}",
            "state": r["state"],
            "count": r["count"],
            "attempts": r["max(attempts)"],
            "first": r["min(output_time)"],
            "last": r["max(output_time)"],
        }
        for r in rows
    ]
    header = ("of", "fate", "reason", "state", "count", "attempts", "first", "last")
    shown = [
        (
            g["source"] or "the result",
            g["fate"],
            g["reason"],
            g["state"],
            g["count"],
            g["attempts"],
            g["first"],
            g["last"],
        )
        for g in groups
    ]
    lines = context.table("", header, shown) if shown else [f"{name}: nothing was left out"]
    context.give({"pipeline": name, "groups": groups}, lines)


def show(context: Context, name: str, wanted: Wanted, limit: int) -> None:
    """Show some of what was left out, with its content."""
    hidden = context.project.config.quality.mask
    with spark_for(context) as spark:
        entries = _Entries(spark, context.project.pipeline(name))
        records = entries.records(wanted).orderBy("arrival", "partition", "offset").limit(limit).collect()
        rows = entries.rows(wanted).orderBy("output_time").limit(limit).collect()
    found: list[dict[str, Any]] = [
        {
            "source": r["source"],
            "partition": r["partition"],
            "offset": r["offset"],
            "arrival": r["arrival"],
            "fate": r["fate"],
            "reason": r["reason"],
            "state": r["state"],
            "attempts": r["attempts"],
            "value": _value(r["value"], hidden),
        }
        for r in records
    ] + [
        {
            "source": None,
            "output_time": r["output_time"],
            "fate": "rule",
            "reason": f"breaks {', '.join(r['rules'])}",
            "state": r["state"],
            "attempts": r["attempts"],
            "value": masked(json.loads(r["row"]), hidden),
        }
        for r in rows
    ]
    lines = []
    for entry in found:
        place = (
            f"{entry['source']} {entry['partition']}-{entry['offset']}"
            if entry["source"]
            else "a row of the result"
        )
        lines.append(f"{place}, {entry['fate']}, {entry['state']}: {entry['reason']}")
        lines.append(
            f"    {entry['value'] if isinstance(entry['value'], str) else json.dumps(entry['value'])}"
        )
    context.give({"pipeline": name, "entries": found}, lines or [f"{name}: nothing of that kind"])


def replay(context: Context, name: str, wanted: Wanted) -> None:
    """Decide that what was left out is to go through the definition as it is now."""
    from pyspark.sql import functions as F

    user = getpass.getuser()
    with spark_for(context) as spark:
        entries = _Entries(spark, context.project.pipeline(name))
        records = (
            entries.records(wanted)
            .filter("state = 'open'")
            .select("source", "log", "topic", "partition", "offset")
        )
        moments = (
            entries.rows(wanted)
            .filter("state = 'open'")
            .select(F.unix_micros("output_time").alias("at"))
            .distinct()
        )
        count, ranges = records.count(), _ranges(moments)
        number = 0
        if count:
            number, _ = entries.books.decide(records, decision="replay", by=user)
        if ranges:
            frame = spark.createDataFrame(ranges, "start bigint, end bigint").select(
                F.timestamp_micros("start").alias("interval_start"),
                F.timestamp_micros("end").alias("interval_end"),
            )
            number, _ = entries.books.decide(frame, decision="replay", by=user)
    said = [
        f"{count} records and {len(ranges)} ranges of output time are to be computed again (decision {number})"
    ]
    if not number:
        said = [f"{name}: nothing of that kind is open"]
    else:
        said.append("the next run takes them in, a stream within a minute")
    context.give(
        {"pipeline": name, "records": count, "ranges": len(ranges), "decision": number or None}, said
    )


def _ranges(moments: DataFrame) -> list[tuple[int, int]]:
    """Return the minutes of some output times, as ranges without overlap."""
    from headway import instant
    from headway.interval import coalesce

    minute = 60 * instant.SECOND
    found = (int(r["at"]) // minute * minute for r in moments.toLocalIterator())
    return [(i.start, i.end) for i in coalesce(Interval(at, at + minute) for at in found)]


def _within(column: str, span: Interval | None) -> Column:
    from pyspark.sql import functions as F

    if span is None:
        return F.lit(True)
    moment = F.unix_micros(column)
    return (moment >= span.start) & (moment < span.end)


def _value(value: bytes | None, hidden: Sequence[str]) -> object:
    """Return a record's value as people read it, hidden columns masked."""
    if value is None:
        return None
    try:
        read = json.loads(value)
    except ValueError:
        read = bytes(value).decode(errors="backslashreplace")
    if hidden and not isinstance(read, dict):
        return f"{len(value)} bytes that are no JSON object, so nothing of them can be masked"
    return masked(read, hidden)
