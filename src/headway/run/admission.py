"""Deciding the fate of each record from its own arrival and event time, alike in every mode."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING

from headway import instant
from headway.plan.analysis import value_schema
from headway.source import Source

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType

    from headway.quality.checks import Checks

__all__ = [
    "ADMITTED",
    "DECIDED",
    "ERROR",
    "FATE",
    "PARSED",
    "RAW",
    "Fate",
    "Places",
    "admit",
    "errors",
    "event_time",
    "is_among",
    "is_relevant",
    "judge",
    "log_field",
    "parse",
    "seen",
]

FATE = "__fate"
ERROR = "__error"
RAW = "__raw"
"""Column with the bytes of the value; Spark prunes it where nobody asks."""
PARSED = "__parsed"
"""Column with what a record was parsed to, where its log keeps that; see `parse`."""
DECIDED = "__decided"
"""Column that tells which raw records a person has decided to take in, late or early as they are."""
_CORRUPT = "__corrupt"
_BROKEN = "__broken"
_EMPTY = "__empty"
_VALUE = "__value"
_LOG = {
    "arrival": "timestamp",
    "topic": "topic",
    "partition": "partition",
    "offset": "offset",
    "key": "key",
    "headers": "headers",
}
"""Fields of `_log`, and the raw columns that they are made of."""
_OLDEST, _NEWEST = instant.BEGINNING, instant.END


class Fate(IntEnum):
    """What becomes of a record; each has exactly one."""

    ADMITTED = 0
    LATE = 1
    """`a > e + lateness`, and too late for a correction where the source allows those."""
    CORRECTABLE = 2
    """Late, counted as late, and admitted by a correction."""
    EARLY = 3
    DEAD = 4
    """Cannot be parsed, or has no usable event time."""
    TOMBSTONE = 5
    """A record without a value."""
    REJECTED = 6
    """Admitted by its times, and breaks a rule of the source's suite; quarantined."""
    REFUSED = 7
    """The same, where no rule that it breaks wants it kept."""


ADMITTED = (Fate.ADMITTED, Fate.REJECTED, Fate.REFUSED)
"""Fates of records that are neither late nor early: a rule says no more of that than a filter would."""
Places = Mapping[int, Collection[int]]
"""Records by partition and offset."""


def judge(raw: DataFrame, source: Source, checks: Checks | None = None) -> DataFrame:
    """Parse raw records and add the columns `__fate` (an int, see `Fate`), `__raw` and those of `log_field`.

    The event time becomes a TIMESTAMP. Nothing here can fail for the content of a record:
    what cannot be read is a dead letter.

    Args:
        raw: As `Log.read` gives them; maybe with a column `DECIDED`.
        source: Whose facts decide.
        checks: The source's suite, compiled.
    """
    named = _marked(raw, source, checks)
    fate = _fate(source, checks, has_decided=DECIDED in named.columns)
    return named.select(*_judged_columns(source), fate.alias(FATE))


def _marked(raw: DataFrame, source: Source, checks: Checks | None) -> DataFrame:
    named = _taken(raw, source) if PARSED in raw.columns else _parsed(raw, source)
    return named if checks is None else checks.marked(named)


def _decided_column(raw: DataFrame) -> list[str]:
    return [DECIDED] if DECIDED in raw.columns else []


def _judged_columns(source: Source) -> list[str]:
    return [f"`{name}`" for name in (*value_schema(source).names, *[f"__{field}" for field in _LOG], RAW)]


def parse(raw: DataFrame, source: Source) -> DataFrame:
    """Return raw records with what they were parsed to, which `judge` takes as it is.

    Columns besides those of the log: `event_time` timestamp, `is_empty` and `is_broken` boolean, and `__parsed`,
    a struct of the value's other columns.
    """
    from pyspark.sql import functions as F

    others = [f.name for f in value_schema(source).fields if f.name != source.event_time]
    named = _parsed(raw, source)
    return named.select(
        *[log_field(field).alias(column) for field, column in _LOG.items()],
        F.col(RAW).alias("value"),
        F.col(f"`{source.event_time}`").alias("event_time"),
        F.col(_EMPTY).alias("is_empty"),
        F.col(_BROKEN).alias("is_broken"),
        F.struct(
            *[F.col(f"`{name}`") for name in others] or [F.lit(None).cast("boolean").alias("none")]
        ).alias(PARSED),
    )


def _parsed(raw: DataFrame, source: Source) -> DataFrame:
    from pyspark.sql import functions as F

    values = value_schema(source)
    # Spark moves filters below a projection by repeating its expressions, and would parse each
    # record once for each field that a filter asks for. It leaves alone what it takes for
    # nondeterministic; the condition holds for every row.
    decoded = F.when(F.spark_partition_id() >= 0, _decoded(source, values))
    opened = raw.select(
        decoded.alias(_VALUE),
        F.col("value").isNull().alias(_EMPTY),
        F.col("value").alias(RAW),
        *_log_columns(),
        *_decided_column(raw),
    )
    e = _event_time(F.col(f"{_VALUE}.{source.event_time}"), values[source.event_time].dataType.simpleString())
    columns = {f.name: F.col(f"{_VALUE}.`{f.name}`") for f in values.fields} | {source.event_time: e}
    return opened.select(
        *[column.alias(name) for name, column in columns.items()],
        *[f"__{field}" for field in _LOG],
        RAW,
        _EMPTY,
        _is_broken(source).alias(_BROKEN),
        *_decided_column(raw),
    )


def _taken(raw: DataFrame, source: Source) -> DataFrame:
    """Return records that are parsed already with the same columns."""
    from pyspark.sql import functions as F

    values = value_schema(source)
    # A table may hold a wider type than the schema names.
    columns = {
        f.name: F.col(f"{PARSED}.`{f.name}`").cast(f.dataType)
        for f in values.fields
        if f.name != source.event_time
    }
    columns[source.event_time] = F.col("event_time")
    return raw.select(
        *[columns[name].alias(name) for name in values.names],
        *_log_columns(),
        F.col("value").alias(RAW),
        F.col("is_empty").alias(_EMPTY),
        F.col("is_broken").alias(_BROKEN),
        *_decided_column(raw),
    )


def _log_columns() -> list[Column]:
    """Return one column for each field of `_log`: Spark leaves out those that nobody asks for, but no field of a struct."""
    from pyspark.sql import functions as F

    return [F.col(column).alias(f"__{field}") for field, column in _LOG.items()]


def errors(raw: DataFrame, source: Source, checks: Checks | None = None) -> DataFrame:
    """Return raw records as `judge` does, with `__error` besides: the reason in words; for the quarantine."""
    from pyspark.sql import functions as F

    named = _marked(raw, source, checks)
    marked = named.withColumn(FATE, _fate(source, checks, has_decided=DECIDED in named.columns))
    words = (
        F.when(
            F.col(FATE) == Fate.DEAD,
            F.lit(f"not {source.format} of the schema, or no usable event time in {source.event_time!r}"),
        )
        .when(
            F.col(FATE).isin(Fate.LATE, Fate.CORRECTABLE),
            F.lit(f"late: arrived more than {source.lateness} after its event time"),
        )
        .when(
            F.col(FATE) == Fate.EARLY,
            F.lit(f"early: event time more than {source.earliness} ahead of its arrival"),
        )
    )
    if checks is not None:
        broken = F.concat(F.lit("breaks "), F.concat_ws(", ", checks.broken()))
        words = words.when(F.col(FATE).isin(int(Fate.REJECTED), int(Fate.REFUSED)), broken)
    return marked.select(*_judged_columns(source), FATE, words.alias(ERROR))


def is_relevant(source: Source, *, corrections: bool) -> Column:
    """Return the condition under which a judged record enters the function."""
    from pyspark.sql import functions as F

    if corrections and source.late == "correct":
        return F.col(FATE).isin(int(Fate.ADMITTED), int(Fate.CORRECTABLE))
    return F.col(FATE) == int(Fate.ADMITTED)


def event_time(source: Source) -> Column:
    """Return the event time of a judged record, in microseconds."""
    from pyspark.sql import functions as F

    return F.unix_micros(F.col(source.event_time))


def log_field(field: str) -> Column:
    """Return a field of `_log` of a judged record, which has no such struct yet."""
    from pyspark.sql import functions as F

    return F.col(f"__{field}")


def seen(source: Source) -> Column:
    """Return the instant that decides an admitted record's lookup versions: `min(e, a)`, in microseconds."""
    from pyspark.sql import functions as F

    return F.least(event_time(source), F.unix_micros(F.col("_log.arrival")))


def admit(judged: DataFrame, condition: Column) -> DataFrame:
    """Return the records that a condition lets into the function, as the function sees them."""
    from pyspark.sql import functions as F

    log = F.struct(*[log_field(field).alias(field) for field in _LOG]).alias("_log")
    own = {FATE, RAW, *[f"__{field}" for field in _LOG]}
    return judged.filter(condition).select(*[F.col(f"`{c}`") for c in judged.columns if c not in own], log)


def _decoded(source: Source, values: StructType) -> Column:
    """Return a struct of the value's columns, from the raw columns `value` and `timestamp`."""
    from pyspark.sql import functions as F
    from pyspark.sql.types import StringType, StructType

    if source.format == "avro":
        from pyspark.sql.avro.functions import from_avro

        return from_avro(F.col("value"), source.schema, {"mode": "PERMISSIVE"})
    if source.format == "bytes":
        named = {n: "timestamp" if n == source.event_time else "value" for n in values.names}
        return F.struct(*[F.col(raw).alias(name) for name, raw in named.items()])
    with_corrupt = StructType([*values.fields]).add(_CORRUPT, StringType())
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": _CORRUPT}
    return F.from_json(F.col("value").cast("string"), with_corrupt, options)


def _is_broken(source: Source) -> Column:
    """Return the condition that a value could not be decoded."""
    from pyspark.sql import functions as F

    if source.format == "json":
        return F.col(f"{_VALUE}.{_CORRUPT}").isNotNull()
    return F.col(_VALUE).isNull()


def _event_time(value: Column, kind: str) -> Column:
    """Return the event time as TIMESTAMP; null where it lies outside of the years 1 to 9998."""
    from pyspark.sql import functions as F

    if kind == "bigint":
        return F.when(
            value.between(_OLDEST // 1_000, _NEWEST // 1_000 - 1),
            F.timestamp_micros(value * 1_000),
        )
    oldest, newest = F.timestamp_micros(F.lit(_OLDEST)), F.timestamp_micros(F.lit(_NEWEST))
    return F.when((value >= oldest) & (value < newest), value)


def _fate(source: Source, checks: Checks | None, *, has_decided: bool) -> Column:
    from pyspark.sql import functions as F

    delay = F.unix_micros(log_field("arrival")) - event_time(source)
    is_late, is_early = delay > source.too_late_micros, delay < -source.earliness_micros
    if has_decided:
        is_out_of_time = ~F.col(DECIDED)
        is_late, is_early = is_late & is_out_of_time, is_early & is_out_of_time
    fate = (
        F.when(F.col(_EMPTY), int(Fate.TOMBSTONE))
        .when(F.col(_BROKEN) | F.col(source.event_time).isNull(), int(Fate.DEAD))
        .when(is_late, int(Fate.LATE))
        .when(is_early, int(Fate.EARLY))
    )
    is_correctable = F.lit(False)
    if source.late == "correct":
        is_correctable = (delay > source.lateness_micros) & (delay <= source.too_late_micros)
    if checks is not None:
        # No correction would take it in, so it is as good as too late.
        fate = fate.when(checks.is_rejected() & is_correctable, int(Fate.LATE))
        fate = fate.when(checks.is_quarantined(), int(Fate.REJECTED))
        fate = fate.when(checks.is_rejected(), int(Fate.REFUSED))
    if source.late == "correct":
        fate = fate.when(is_correctable, int(Fate.CORRECTABLE))
    return fate.otherwise(int(Fate.ADMITTED))


def is_among(places: Places, partition: Column, offset: Column) -> Column:
    """Return the condition that a record is one of some."""
    from pyspark.sql import functions as F

    found = F.lit(False)
    for number, offsets in places.items():
        found = found | ((partition == number) & offset.isin(*sorted(offsets)))
    return found
