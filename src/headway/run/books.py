"""The tables beside a sink: quarantined records, corrections, decisions. For people and reruns.

They live in the sink's catalog, in the namespace `headway`, and exist from the first run on.
Each record is in each of them once, however often a run that found it is repeated: rows are
merged by topic, partition and offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.run.admission import ERROR, FATE, RAW, Fate
from headway.sinks.iceberg_table import quoted

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["Books"]

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
        self._spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {quoted(self._spark, self._namespace)}")
        for table, columns in _TABLES.items():
            self._spark.sql(
                f"CREATE TABLE IF NOT EXISTS {quoted(self._spark, self.name(table))} ({columns}) USING iceberg "
                "TBLPROPERTIES ('format-version' = '2', 'write.metadata.delete-after-commit.enabled' = 'true', "
                "'write.metadata.previous-versions-max' = '20')"
            )

    def quarantine(self, source: str, rejected: DataFrame) -> None:
        """Keep rejected records: raw bytes, where they stood, and why."""
        from pyspark.sql import functions as F

        names = F.create_map(*[F.lit(x) for fate in Fate for x in (int(fate), fate.name.lower())])
        rows = rejected.select(
            F.lit(source).alias("source"),
            "_log.topic",
            "_log.partition",
            "_log.offset",
            "_log.arrival",
            "_log.key",
            F.col(RAW).alias("value"),
            "_log.headers",
            names[F.col(FATE)].alias("fate"),
            F.col(ERROR).alias("reason"),
        )
        self._merge("quarantine", rows)

    def corrections(self, source: str, records: DataFrame, e: Column, ahead: int, history: int) -> None:
        """Write down which record made which range of output time wait for a recomputation."""
        from pyspark.sql import functions as F

        names = F.create_map(*[F.lit(x) for fate in Fate for x in (int(fate), fate.name.lower())])
        rows = records.select(
            F.lit(source).alias("source"),
            "_log.topic",
            "_log.partition",
            "_log.offset",
            "_log.arrival",
            F.timestamp_micros(e).alias("event_time"),
            F.when(F.col(FATE) == int(Fate.ADMITTED), F.lit("straggler"))
            .otherwise(names[F.col(FATE)])
            .alias("fate"),
            F.timestamp_micros(e - F.lit(ahead)).alias("touched_from"),
            F.timestamp_micros(e + F.lit(history)).alias("touched_to"),
        )
        self._merge("corrections", rows)

    def drop(self) -> None:
        """Remove the tables."""
        for table in _TABLES:
            self._spark.sql(f"DROP TABLE IF EXISTS {quoted(self._spark, self.name(table))} PURGE")

    def _merge(self, table: str, rows: DataFrame) -> None:
        session = rows.sparkSession
        rows.createOrReplaceTempView("headway_records")
        try:
            session.sql(
                f"MERGE INTO {quoted(session, self.name(table))} t USING headway_records s "
                "ON t.source = s.source AND t.topic = s.topic AND t.partition = s.partition AND t.offset = s.offset "
                "WHEN NOT MATCHED THEN INSERT *"
            )
        finally:
            session.catalog.dropTempView("headway_records")
