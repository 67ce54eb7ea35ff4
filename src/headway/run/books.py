"""The tables beside a sink: quarantined records, corrections, decisions. For people and reruns.

They live in the sink's catalog, in the namespace `headway`, and exist from the first run on.
Each record is in each of them once, however often a run that found it is repeated: a commit
carries up to which offsets the records have been looked at.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from headway.catalog import ancestry, create_namespace, escaped, expire, java_table, quoted
from headway.offsets import Offsets
from headway.run.admission import ERROR, FATE, RAW, Fate, log_field

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["Books"]

_POSITION = "headway.position"
_ID = "source string, topic string, partition int, offset bigint, arrival timestamp"
_TABLES = {
    "quarantine": f"{_ID}, key binary, value binary, headers array<struct<key: string, value: binary>>, "
    "fate string, reason string",
    "corrections": f"{_ID}, event_time timestamp, fate string, touched_from timestamp, touched_to timestamp",
    "decisions": f"{_ID}, decision string, decided_by string, decided_at timestamp",
}


class Books:
    """The bookkeeping tables of one pipeline."""

    def __init__(self, spark: SparkSession, pipeline: str, sink_table: str) -> None:
        self._spark = spark
        catalog = sink_table.partition(".")[0]
        self._namespace = f"{catalog}.headway"
        self._prefix = f"{self._namespace}.{pipeline}"

    def name(self, table: str) -> str:
        """Return the full name of one of `quarantine`, `corrections` and `decisions`."""
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

        names = F.create_map(*[F.lit(x) for fate in Fate for x in (int(fate), fate.name.lower())])
        rows = rejected.select(
            F.lit(source).alias("source"),
            *_place(),
            log_field("key").alias("key"),
            F.col(RAW).alias("value"),
            log_field("headers").alias("headers"),
            names[F.col(FATE)].alias("fate"),
            F.col(ERROR).alias("reason"),
        )
        return self._append("quarantine", f"{source} {log}", rows, end)

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
        rows.writeTo(self.name(table)).option(f"snapshot-property.{_POSITION}", json.dumps(position)).append()
        handle.refresh()
        return int(handle.currentSnapshot().summary().get("added-records") or 0)

    def _position(self, table: Any) -> dict[str, dict[str, int]]:
        for snapshot in ancestry(table, table.currentSnapshot()):
            recorded = snapshot.summary().get(_POSITION)
            if recorded is not None:
                return dict(json.loads(recorded))
        return {}


def _place() -> list[Column]:
    """Return where a judged record stands in its log, and since when."""
    return [log_field(field).alias(field) for field in ("topic", "partition", "offset", "arrival")]
