"""The tables beside a sink: quarantined records, rejected rows, corrections, decisions. For people and reruns.

They live in the sink's catalog, in the namespace `headway`, and exist from the first run on.
Each record is in each of them once, however often a run that found it is repeated: a commit
carries up to which offsets the records have been looked at.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headway.catalog import ancestry, create_namespace, escaped, expire, java_table, quoted
from headway.compared_appends import ComparedAppends
from headway.errors import TransientError
from headway.interval import Interval
from headway.offsets import Offsets
from headway.result import Result
from headway.run.admission import ERROR, FATE, RAW, Fate, log_field
from headway.run.decisions import Decision, Decisions

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["Books"]

_POSITION = "headway.position"
_NUMBER = "headway.decisions"
_ID = "source string, topic string, partition int, offset bigint, arrival timestamp"
_TABLES = {
    "quarantine": f"{_ID}, key binary, value binary, headers array<struct<key: string, value: binary>>, "
    "fate string, reason string, log string, attempt int",
    "rejected": "output_time timestamp, rules array<string>, row string, mode string, lineage string, "
    "batch_id bigint, revision int",
    "corrections": f"{_ID}, event_time timestamp, fate string, touched_from timestamp, touched_to timestamp",
    "decisions": "number bigint, source string, log string, topic string, partition int, offset bigint, "
    "interval_start timestamp, interval_end timestamp, decision string, decided_by string, decided_at timestamp",
}
_RACES = 10


class Books:
    """The bookkeeping tables of one pipeline."""

    def __init__(self, spark: SparkSession, pipeline: str, sink_table: str) -> None:
        self._spark = spark
        catalog = sink_table.partition(".")[0]
        self._namespace = f"{catalog}.headway"
        self._prefix = f"{self._namespace}.{pipeline}"

    def name(self, table: str) -> str:
        """Return the full name of one of `quarantine`, `rejected`, `corrections` and `decisions`."""
        return f"{self._prefix}_{table}"

    def prepare(self) -> None:
        """Make the tables that are missing."""
        if all(self._spark.catalog.tableExists(self.name(t)) for t in _TABLES):
            return
        create_namespace(self._spark, self._prefix)
        for table, columns in _TABLES.items():
            self._spark.sql(
                f"CREATE TABLE IF NOT EXISTS {quoted(self._spark, self.name(table))} ({columns}) USING iceberg "
                "TBLPROPERTIES ('format-version' = '2', 'write.delete.isolation-level' = 'snapshot', 'write.metadata.delete-after-commit.enabled' = 'true', "
                "'write.metadata.previous-versions-max' = '20')"
            )

    def quarantine(self, source: str, log: str, rejected: DataFrame, end: Offsets) -> int:
        """Keep rejected records below `end`: raw bytes, where they stood, and why; returns how many.

        `log` is the identity of the source's log: offsets of one that was made anew begin again.
        """
        from pyspark.sql import functions as F

        rows = _quarantined(rejected, source, log).withColumn("attempt", F.lit(0))
        return self._append("quarantine", f"{source} {log}", rows, end)

    def quarantine_again(self, source: str, log: str, rejected: DataFrame, number: int) -> int:
        """Keep records that a decision could not bring in, as one more attempt of each; returns how many.

        A call that is repeated for the same decision, by its number, changes nothing.
        """
        from pyspark.sql import functions as F

        name = self.name("quarantine")
        handle = java_table(self._spark, name)
        position = self._position(handle)
        done = position.get(f"decisions {source}", {})
        if done.get("0", 0) >= number:
            return 0
        place = ["source", "log", "partition", "offset"]
        held = self._spark.table(name).filter((F.col("source") == source) & (F.col("log") == log))
        before = held.groupBy(*place).agg((F.max("attempt") + 1).alias("attempt"))
        rows = _quarantined(rejected, source, log).join(before, place)
        columns = self._spark.table(name).columns
        position[f"decisions {source}"] = {"0": number}
        return self._written(name, rows.select(*columns), position)

    def reject(self, rows: DataFrame, *, replaced: Interval | None, batch: tuple[str, int] | None) -> None:
        """Keep rows that rules have rejected, in place of those of a range of output time, or of a micro-batch.

        Called before the commit that leaves them out. Repeated for the same range or batch it leaves the same rows.

        Args:
            rows: With the columns of the table `rejected`.
            replaced: Range whose rejected rows make way, in bounded modes.
            batch: Lineage and number of a stream's batch.
        """
        if replaced is not None:
            self.forget_rejected(replaced)
        if batch is not None:
            self._forget(f"lineage = '{escaped(batch[0])}' AND batch_id = {batch[1]}")
        rows.writeTo(self.name("rejected")).append()

    def forget_rejected(self, interval: Interval) -> None:
        """Take away the rejected rows of a range of output time, because it was computed anew."""
        self._forget(Result(output_time="output_time", is_window=False, keys=()).condition(interval))

    def _forget(self, mine: str) -> None:
        name = self.name("rejected")
        if java_table(self._spark, name).currentSnapshot() is None:
            return
        if self._spark.table(name).filter(mine).isEmpty():
            return
        self._spark.sql(f"DELETE FROM {quoted(self._spark, name)} WHERE {mine}")
        expire(self._spark, name)  # a person's erased records may have given rise to them

    def decided_through(self) -> int:
        """Return the newest decision's number; 0 where there is none."""
        name = self.name("decisions")
        if not self._spark.catalog.tableExists(name):
            return 0
        handle = java_table(self._spark, name)
        for snapshot in ancestry(handle, handle.currentSnapshot()):
            if snapshot.summary().get(_NUMBER) is not None:
                return int(snapshot.summary().get(_NUMBER))
        return 0

    def decisions(self) -> Decisions:
        """Return all that was decided so far."""
        name = self.name("decisions")
        if (
            not self._spark.catalog.tableExists(name)
            or java_table(self._spark, name).currentSnapshot() is None
        ):
            return Decisions()
        taken = tuple(
            Decision(
                number=int(r["number"]),
                source=r["source"],
                log=r["log"],
                partition=r["partition"],
                offset=r["offset"],
                interval=None if r["start"] is None else Interval(int(r["start"]), int(r["end"])),
            )
            for r in self._spark.table(name)
            .selectExpr(
                "number",
                "source",
                "log",
                "partition",
                "offset",
                "unix_micros(interval_start) AS start",
                "unix_micros(interval_end) AS end",
            )
            .orderBy("number")
            .toLocalIterator()
        )
        return Decisions(quarantine=self.name("quarantine"), decided=name, taken=taken)

    def decide(self, what: DataFrame, *, decision: str, by: str) -> tuple[int, int]:
        """Write decisions down; returns the number that they have, and how many there are.

        Args:
            what: `source`, `log`, `topic`, `partition`, `offset` of records, or `interval_start` and
                `interval_end` of ranges of output time.
            decision: What is to happen, such as `replay`.
            by: Who decides.

        Raises:
            TransientError: Others kept deciding at the same moment.
        """
        from pyspark.sql import functions as F

        name = self.name("decisions")
        known = {f.name: f.dataType for f in self._spark.table(name).schema}
        given = {"decision": F.lit(decision), "decided_by": F.lit(by), "decided_at": F.current_timestamp()}
        given |= {column: F.col(column) for column in what.columns}
        appends = ComparedAppends(self._spark, name, _NUMBER)
        try:
            for _ in range(_RACES):
                visible = appends.visible()
                number = int(appends.reached(appends.table(), visible) or 0) + 1
                given["number"] = F.lit(number)
                rows = what.select(
                    *[given.get(c, F.lit(None)).cast(kind).alias(c) for c, kind in known.items()]
                )
                head = appends.append(rows, visible, str(number))
                if head is not None:
                    summary = appends.table().snapshot(head).summary()
                    return number, int(summary.get("added-records") or 0)
        finally:
            appends.close()
        raise TransientError(
            f"{name} was changed by others again and again", hint="Run the same command again."
        )

    def corrections(
        self, source: str, log: str, records: DataFrame, e: Column, ahead: int, history: int, end: Offsets
    ) -> None:
        """Write down which record made which range of output time wait for a recomputation."""
        from pyspark.sql import functions as F

        names = F.create_map(*[F.lit(x) for fate in Fate for x in (int(fate), fate.name.lower())])
        rows = records.select(
            F.lit(source).alias("source"),
            *_place(),
            F.timestamp_micros(e).alias("event_time"),
            F.when(F.col(FATE) == int(Fate.ADMITTED), F.lit("straggler"))
            .otherwise(names[F.col(FATE)])
            .alias("fate"),
            F.timestamp_micros(e - F.lit(ahead)).alias("touched_from"),
            F.timestamp_micros(e + F.lit(history)).alias("touched_to"),
        )
        self._append("corrections", f"{source} {log}", rows, end)

    def erase(self, source: str, key_hashes: Sequence[str]) -> int:
        """Take the quarantined records of keys away for good, with the snapshots that hold them; returns how many.

        Keys are given by their SHA-256, in hexadecimal digits.
        """
        name = self.name("quarantine")
        if not (key_hashes and self._spark.catalog.tableExists(name)):
            return 0
        hashes = ", ".join(f"'{key_hash}'" for key_hash in key_hashes)
        mine = f"source = '{escaped(source)}' AND sha2(key, 256) IN ({hashes})"
        count = self._spark.table(name).filter(mine).count()
        if count:
            position = self._position(java_table(self._spark, name))
            self._spark.sql(f"DELETE FROM {quoted(self._spark, name)} WHERE {mine}")
            empty = self._spark.table(name).limit(0).writeTo(name)
            empty.option(f"snapshot-property.{_POSITION}", json.dumps(position)).append()
            expire(self._spark, name)
        return count

    def drop(self) -> None:
        """Remove the tables."""
        for table in _TABLES:
            self._spark.sql(f"DROP TABLE IF EXISTS {quoted(self._spark, self.name(table))} PURGE")

    def _written(self, name: str, rows: DataFrame, position: dict[str, dict[str, int]]) -> int:
        """Append rows with the note of how far each source has been looked at; returns how many."""
        rows.writeTo(name).option(f"snapshot-property.{_POSITION}", json.dumps(position)).append()
        return int(java_table(self._spark, name).currentSnapshot().summary().get("added-records") or 0)

    def _append(self, table: str, log: str, rows: DataFrame, end: Offsets) -> int:
        """Append the rows of records below `end` that the table has not got yet; returns how many.

        The commit carries how far each source has been looked at, so a run that is repeated
        after a crash adds only what is new.
        """
        from pyspark.sql import functions as F

        handle = java_table(self._spark, self.name(table))
        position = self._position(handle)
        seen = Offsets.from_json(position.get(log, {}))
        for partition, offset in seen.items():
            rows = rows.filter((F.col("partition") != partition) | (F.col("offset") >= offset))
        position[log] = seen.greatest(end).to_json()
        return self._written(self.name(table), rows, position)

    def _position(self, table: Any) -> dict[str, dict[str, int]]:
        for snapshot in ancestry(table, table.currentSnapshot()):
            recorded = snapshot.summary().get(_POSITION)
            if recorded is not None:
                return dict(json.loads(recorded))
        return {}


def _quarantined(rejected: DataFrame, source: str, log: str) -> DataFrame:
    """Return the quarantine table's columns of judged records that have an error, without `attempt`."""
    from pyspark.sql import functions as F

    names = F.create_map(*[F.lit(x) for fate in Fate for x in (int(fate), fate.name.lower())])
    return rejected.select(
        F.lit(source).alias("source"),
        *_place(),
        log_field("key").alias("key"),
        F.col(RAW).alias("value"),
        log_field("headers").alias("headers"),
        names[F.col(FATE)].alias("fate"),
        F.col(ERROR).alias("reason"),
        F.lit(log).alias("log"),
    )


def _place() -> list[Column]:
    """Return where a judged record stands in its log, and since when."""
    return [log_field(field).alias(field) for field in ("topic", "partition", "offset", "arrival")]
