"""An archive: a source's records in an Iceberg table, raw and beside that parsed, by hour of event time.

New records are taken in once, behind those that are there, by a compare-and-set: pipelines that read the
same topic share an archive. What records were parsed to stands in a column that is named for the schema, so a
schema that changes, or another pipeline's, never contradicts what is there: who finds records without a
column of its own parses them again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from headway import instant
from headway.catalog import create_namespace, expire, java_table, quoted
from headway.compared_appends import PROPERTIES, ComparedAppends
from headway.errors import LostDataError, TransientError
from headway.interval import Interval, coalesce
from headway.offsets import Offsets
from headway.result import quoted_column
from headway.run import admission
from headway.source import Log, Source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["Archive", "Erasure", "Held", "between", "hours_of", "is_of", "kept"]

_RAW = {
    "key": "binary",
    "value": "binary",
    "topic": "string",
    "partition": "int",
    "offset": "bigint",
    "timestamp": "timestamp",
    "headers": "array<struct<key: string, value: binary>>",
}
_RAW_DDL = ", ".join(f"{name} {kind}" for name, kind in _RAW.items())
_FACTS = ("event_time", "is_empty", "is_broken")
_COLUMNS = f"{_RAW_DDL}, event_time timestamp, is_empty boolean, is_broken boolean, parsed_by string"
_ERASURES = "number bigint, key_hash string, below string, hours array<timestamp>, erased_at timestamp"
_PROPERTIES = {
    **PROPERTIES,
    "write.distribution-mode": "hash",
    # What is taken in beside an erasure lies beyond it.
    "write.delete.isolation-level": "snapshot",
    # Bounds of keys and values in manifests would outlive the records.
    "write.metadata.metrics.default": "none",
    **{
        f"write.metadata.metrics.column.{name}": "full"
        for name in ("partition", "offset", "timestamp", "event_time", "parsed_by")
    },
}
_HELD = "headway.archived"
_NUMBER = "headway.erasure"
_HOUR = 3600 * instant.SECOND
_RACES = 20
_MOST = 20_000_000
"""About how many records one commit takes in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Which part of a log an archive holds."""

    log: str
    """Identity of the log."""
    start: Offsets
    end: Offsets

    def to_json(self) -> str:
        """Write for a commit's summary."""
        return json.dumps({"log": self.log, "from": self.start.to_json(), "to": self.end.to_json()})

    @classmethod
    def from_json(cls, text: str) -> Held:
        """Read what `to_json` wrote."""
        data = json.loads(text)
        start, end = Offsets.from_json(data["from"]), Offsets.from_json(data["to"])
        return cls(log=data["log"], start=start, end=end)


@dataclass(frozen=True, slots=True)
class Erasure:
    """The records of one key below some offsets, taken away for good; the key itself is not kept."""

    number: int
    key_hash: str
    """SHA-256 of the key, in hexadecimal digits."""
    below: Offsets
    hours: tuple[int, ...]
    """The hours of event time in which such records were, as instants of their beginning."""


class Archive:
    """The archive of one source, as one thread of one run uses it."""

    def __init__(self, spark: SparkSession, source: Source) -> None:
        """Name the tables; nothing is asked of the catalog yet."""
        assert source.archive is not None
        self.name = source.archive
        self._spark = spark
        self._source = source
        self._schema = _digest(source)
        self._appends: ComparedAppends | None = None

    @property
    def erasures_name(self) -> str:
        """Full name of the table of erasures beside it."""
        return f"{self.name}_erasures"

    def exists(self) -> bool:
        """Tell whether the archive was made."""
        return bool(self._spark.catalog.tableExists(self.name))

    def held(self) -> Held | None:
        """Return which part of the log is in the archive now; None where nothing is."""
        if not self.exists():
            return None
        table = java_table(self._spark, self.name)
        if table.currentSnapshot() is None:
            return None
        return self._held_at(table, int(table.currentSnapshot().snapshotId()))

    def take_in(self, log: Log, ends: Offsets) -> Iterator[int]:
        """Add the records below `ends` that are not in the archive; yields how many after each commit.

        Raises:
            LostDataError: Retention has eaten records before they were taken in, or the log was made anew.
            TransientError: Others kept changing the archive.
        """
        self._prepare()
        appends, races = self._opened(), 0
        try:
            while races < _RACES:
                visible = appends.visible()
                held = self._held_at(appends.table(), visible) or self._none_of(log)
                self.require_same(held, log)
                begins = log.begins()
                start = Offsets({p: held.end.get(p, begins.get(p, 0)) for p in ends})
                if start.covers(ends):
                    break
                end = _part(start, ends)
                after = Held(
                    log=held.log,
                    start=Offsets({p: held.start.get(p, start[p]) for p in end}),
                    end=Offsets({**held.end, **end}),
                )
                rows = self._rows(log.read(self._spark, start, end))
                if appends.append(rows, visible, after.to_json()) is None:
                    races += 1
                else:
                    yield end.minus(start)
            else:
                raise TransientError(
                    f"{self.name} was changed by others again and again", hint="Run the same command again."
                )
        finally:
            appends.close()  # a branch that stays keeps what is erased meanwhile
        self.finish_erasures()

    def require_same(self, held: Held, log: Log) -> None:
        """See that the archive is of this very log.

        Raises:
            LostDataError: The log was made anew, and its offsets begin again.
        """
        if held.log != log.identity():
            raise LostDataError(
                f"the archive {self.name} holds another {self._source.name!r} than the one that is there now: it was recreated",
                hint="Name another archive for the new one.",
            )

    def frame(self, start: Offsets, end: Offsets) -> DataFrame:
        """Return the records of `[start, end)` that were not erased, as `admission.parse` returns them."""
        from pyspark.sql import functions as F

        rows = self._spark.table(self.name).filter(between(start, end))
        through = self._erased_through()
        rows = rows.filter(kept([e for e in self.erasures() if e.number > through]))
        parts = []
        if self._column in rows.columns:
            own = rows.filter(F.col("parsed_by") == self._schema)
            parts.append(own.select(*_RAW, *_FACTS, F.col(self._column).alias(admission.PARSED)))
        if not parts or any(
            c.startswith("parsed_") and c not in ("parsed_by", self._column) for c in rows.columns
        ):
            others = rows.filter(F.col("parsed_by") != self._schema).select(*_RAW)
            parsed = admission.parse(others, self._source)
            parts.append(parsed.select(*_RAW, *_FACTS, admission.PARSED))
        return reduce(lambda a, b: a.unionByName(b), parts)

    def arrivals(self, condition: str, pick: Literal["first", "latest"]) -> dict[int, tuple[int, int]]:
        """Return of each partition the offset and arrival of the record with the least offset or greatest arrival.

        Args:
            condition: Which records count, as SQL.
            pick: `first` or `latest`.
        """
        from pyspark.sql import functions as F

        by = F.min_by if pick == "first" else F.max_by
        place = F.struct("offset", F.unix_micros("timestamp").alias("arrival"))
        rows = self._spark.table(self.name).filter(condition).groupBy("partition")
        found = rows.agg(by(place, "offset" if pick == "first" else "timestamp").alias("found"))
        return {
            int(r["partition"]): (int(r["found"][0]), int(r["found"][1])) for r in found.toLocalIterator()
        }

    def erasures(self) -> list[Erasure]:
        """Return what was erased, in order."""
        if not self._spark.catalog.tableExists(self.erasures_name):
            return []
        rows = self._spark.sql(
            f"SELECT number, key_hash, below, transform(hours, h -> unix_micros(h)) AS hours "
            f"FROM {quoted(self._spark, self.erasures_name)} ORDER BY number"
        )
        return [
            Erasure(r["number"], r["key_hash"], Offsets.from_json(json.loads(r["below"])), tuple(r["hours"]))
            for r in rows.toLocalIterator()
        ]

    def erase(self, key_hash: str, readers: Sequence[Source]) -> tuple[Erasure | None, int]:
        """Take away the records of a key that are in the archive now, for good, and return how many those were.

        What they have contributed to follows with each pipeline's next run. Their bytes go with the
        snapshots that held them.

        Args:
            key_hash: SHA-256 of the key in hexadecimal digits.
            readers: Each source with this archive: they may see other event times in the same records.

        Raises:
            TransientError: Others kept changing the archive.
        """
        from pyspark.sql import functions as F

        held = self.held()
        if held is None:
            return None, 0
        mine = is_of([key_hash], held.end)
        count = self._spark.table(self.name).filter(mine).count()
        if count == 0:
            return None, 0
        hour = (F.floor(F.unix_micros("event_time") / _HOUR) * _HOUR).alias("hour")
        hours: set[int] = set()
        for schema in {_digest(source): source for source in readers}.values():
            rows = Archive(self._spark, schema).frame(held.start, held.end).filter(mine)
            found = rows.filter("event_time IS NOT NULL").select(hour).distinct()
            hours.update(int(r["hour"]) for r in found.toLocalIterator())
        (erasure,) = self._written_down([Erasure(0, key_hash, held.end, tuple(sorted(hours)))])
        self.finish_erasures()
        return erasure, count

    def take_over(self, erasures: Sequence[Erasure]) -> None:
        """Note what was erased from another archive of the same log. The rows go when records are next taken in.

        Raises:
            TransientError: Others kept changing the erasures.
        """
        known = [(e.key_hash, e.below) for e in self.erasures()]
        new = [e for e in erasures if (e.key_hash, e.below) not in known]
        if new:
            self._written_down(new)

    def finish_erasures(self) -> None:
        """Remove the rows of what was erased from the table, and the snapshots that still hold them.

        While another writer's branch keeps such a snapshot, it stays to be done; the next call goes on with it.
        """
        through = self._erased_through()
        due = [e for e in self.erasures() if e.number > through]
        if not due:
            return
        for below, hashes in _by_bound(due):
            self._spark.sql(f"DELETE FROM {quoted(self._spark, self.name)} WHERE {is_of(hashes, below)}")
        table = java_table(self._spark, self.name)
        clean = table.currentSnapshot().sequenceNumber()
        self._move_tag()
        expire(self._spark, self.name)
        table.refresh()
        kept_by_others = [
            name
            for name, ref in table.refs().items()
            if table.snapshot(ref.snapshotId()).sequenceNumber() < clean
        ]
        if not kept_by_others:
            number = max(e.number for e in due)
            self._spark.sql(
                f"ALTER TABLE {quoted(self._spark, self.name)} SET TBLPROPERTIES ('{_NUMBER}' = '{number}')"
            )

    def _move_tag(self) -> None:
        """Append nothing, with what the table holds: the tag moves on to a snapshot without what was deleted."""
        appends = self._opened()
        try:
            for _ in range(_RACES):
                visible = appends.visible()
                held = self._held_at(appends.table(), visible)
                assert held is not None
                empty = self._spark.table(self.name).limit(0)
                if appends.append(empty, visible, held.to_json()) is not None:
                    return
        finally:
            appends.close()
        raise TransientError(
            f"{self.name} was changed by others again and again", hint="Run the same command again."
        )

    @property
    def _column(self) -> str:
        return f"parsed_{self._schema}"

    def _held_at(self, table: Any, snapshot: int) -> Held | None:
        said = self._opened().reached(table, snapshot)
        return None if said is None else Held.from_json(said)

    def _none_of(self, log: Log) -> Held:
        begins = log.begins()
        return Held(log=log.identity(), start=begins, end=begins)

    def _opened(self) -> ComparedAppends:
        if self._appends is None:
            self._appends = ComparedAppends(self._spark, self.name, _HELD)
        return self._appends

    def _prepare(self) -> None:
        nothing = self._spark.createDataFrame([], _RAW_DDL)
        parsed = admission.parse(nothing, self._source).schema[admission.PARSED].dataType
        jvm = self._spark._jvm
        assert jvm is not None
        # As Java writes it: it quotes names.
        column = f"{quoted_column(self._column)} {jvm.org.apache.spark.sql.types.DataType.fromJson(parsed.json()).sql()}"
        if not self.exists():
            create_namespace(self._spark, self.name)
            properties = ", ".join(f"'{k}' = '{v}'" for k, v in _PROPERTIES.items())
            self._spark.sql(
                f"CREATE TABLE IF NOT EXISTS {quoted(self._spark, self.name)} ({_COLUMNS}, {column}) USING iceberg "
                f"PARTITIONED BY (hours(event_time)) TBLPROPERTIES ({properties})"
            )
        if self._has_column():
            return
        try:
            self._spark.sql(f"ALTER TABLE {quoted(self._spark, self.name)} ADD COLUMN {column}")
        except (Py4JJavaError, PySparkException):
            if not self._has_column():  # otherwise another run was quicker
                raise

    def _has_column(self) -> bool:
        return self._column in self._spark.table(self.name).columns

    def _rows(self, raw: DataFrame) -> DataFrame:
        from pyspark.sql import functions as F

        parsed = admission.parse(raw, self._source).withColumnRenamed(admission.PARSED, self._column)
        rows = parsed.withColumn("parsed_by", F.lit(self._schema))
        held = self._spark.table(self.name).schema
        return rows.select(
            *[
                f.name if f.name in rows.columns else F.lit(None).cast(f.dataType).alias(f.name)
                for f in held.fields
            ]
        )

    def _erased_through(self) -> int:
        return int(java_table(self._spark, self.name).properties().get(_NUMBER) or 0)

    def _written_down(self, erasures: Sequence[Erasure]) -> list[Erasure]:
        """Note erasures, and return them with their numbers here."""
        if not self._spark.catalog.tableExists(self.erasures_name):
            properties = ", ".join(f"'{k}' = '{v}'" for k, v in PROPERTIES.items())
            self._spark.sql(
                f"CREATE TABLE IF NOT EXISTS {quoted(self._spark, self.erasures_name)} ({_ERASURES}) USING iceberg "
                f"TBLPROPERTIES ({properties})"
            )
        appends = ComparedAppends(self._spark, self.erasures_name, _NUMBER)
        try:
            for _ in range(_RACES):
                visible = appends.visible()
                last = int(appends.reached(appends.table(), visible) or 0)
                numbered = [replace(e, number=n) for n, e in enumerate(erasures, last + 1)]
                given = [
                    (
                        e.number,
                        e.key_hash,
                        json.dumps(e.below.to_json()),
                        [instant.to_datetime(hour) for hour in e.hours],
                    )
                    for e in numbered
                ]
                rows = self._spark.createDataFrame(
                    given, "number bigint, key_hash string, below string, hours array<timestamp>"
                ).selectExpr("*", "current_timestamp() AS erased_at")
                if appends.append(rows, visible, str(last + len(numbered))) is not None:
                    return numbered
        finally:
            appends.close()
        raise TransientError(
            f"{self.erasures_name} was changed by others again and again", hint="Run the same command again."
        )


def kept(erasures: Sequence[Erasure]) -> str:
    """Return the condition, as SQL, that a raw record was not erased."""
    parts = [f"coalesce(NOT ({is_of(hashes, below)}), true)" for below, hashes in _by_bound(erasures)]
    return " AND ".join(parts) or "true"


def is_of(key_hashes: Sequence[str], below: Offsets) -> str:
    """Return the condition, as SQL, that a raw record below some offsets has one of these keys."""
    hashes = ", ".join(f"'{key_hash}'" for key_hash in key_hashes)
    return f"sha2(key, 256) IN ({hashes}) AND ({between(Offsets({}), below)})"


def _by_bound(erasures: Sequence[Erasure]) -> list[tuple[Offsets, list[str]]]:
    found: dict[str, list[str]] = {}
    for erasure in erasures:
        found.setdefault(json.dumps(erasure.below.to_json()), []).append(erasure.key_hash)
    return [(Offsets.from_json(json.loads(below)), hashes) for below, hashes in found.items()]


def hours_of(erasures: Sequence[Erasure]) -> tuple[Interval, ...]:
    """Return the event times that erasures have touched."""
    return coalesce(Interval(hour, hour + _HOUR) for e in erasures for hour in e.hours)


def between(start: Offsets, end: Offsets) -> str:
    """Return the condition, as SQL, that a raw record lies in a range of its log; Iceberg prunes files by it."""
    parts = [
        f"(partition = {p} AND offset >= {start.get(p, 0)} AND offset < {last})" for p, last in end.items()
    ]
    return " OR ".join(parts) or "false"


def _part(start: Offsets, ends: Offsets) -> Offsets:
    """Return the end of about as much of a range as one commit takes in."""
    most = max(1, _MOST // max(1, len(ends)))
    return Offsets({p: min(end, start[p] + most) for p, end in ends.items()}).greatest(start)


def _digest(source: Source) -> str:
    return hashlib.sha256(json.dumps([source.schema, source.format, source.event_time]).encode()).hexdigest()[
        :8
    ]
