"""Which values a column may be compared with, known before any row is read.

Spark with ANSI semantics stops a whole run at the first row whose text is no number, and GX reports
such a rule as crashed. headway refuses it by the column's type.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession
    from pyspark.sql.types import DataType

__all__ = ["family", "literal", "refuse_mixed", "refuse_values"]


def family(type_: DataType) -> str:
    """Return what a type is comparable within: number, text, truth, time, or its own name."""
    from pyspark.sql import types as T

    families: dict[str, tuple[type[DataType], ...]] = {
        "number": (T.NumericType,),
        "text": (T.StringType, T.CharType, T.VarcharType),
        "truth": (T.BooleanType,),
        "time": (T.DateType, T.TimestampType, T.TimestampNTZType),
    }
    return next((name for name, kinds in families.items() if isinstance(type_, kinds)), type_.simpleString())


def refuse_values(session: SparkSession, name: str, type_: DataType, values: Iterable[Any]) -> None:
    """Refuse values that a column of this type cannot be compared with.

    Raises:
        ValueError: Says which, and what the column holds.
    """
    own = family(type_)
    known = [value for value in values if value is not None]
    wrong = [value for value in known if not _is_comparable(own, value)]
    if own in {"number", "time"} and not wrong:
        wrong = _unread(session, type_, [value for value in known if isinstance(value, str)])
    if wrong:
        raise ValueError(
            f"column {name!r} is {type_.simpleString()}, which is not comparable with {_spell(wrong[0])}"
        )


def refuse_mixed(named: Iterable[tuple[str, DataType]]) -> None:
    """Refuse columns that are not comparable with each other.

    Raises:
        ValueError: Says which two.
    """
    first, *others = named
    for other in others:
        if family(first[1]) != family(other[1]):
            raise ValueError(
                f"column {first[0]!r} is {first[1].simpleString()} and column {other[0]!r} is "
                f"{other[1].simpleString()}: they are not comparable"
            )


def literal(value: Any) -> Column:
    """Return a bound as a column; a time without a zone is one of the session's zone."""
    from pyspark.sql import functions as F

    if isinstance(value, datetime):
        return F.lit(value.isoformat(" ")).cast("timestamp")
    return F.lit(value)


def _is_comparable(own: str, value: Any) -> bool:
    if own == "text":
        return isinstance(value, str)
    if own == "truth":
        return isinstance(value, bool) or value in {"true", "false"}
    if own == "number":
        return isinstance(value, int | float | str) and not isinstance(value, bool)
    return own != "time" or isinstance(value, date | str)


def _unread(session: SparkSession, type_: DataType, texts: list[str]) -> list[str]:
    """Return the texts that Spark reads as no value of this type; a row of literals starts no job."""
    from pyspark.sql import functions as F

    if not texts:
        return []
    unread = F.filter(F.array(*[F.lit(text) for text in texts]), lambda x: x.try_cast(type_).isNull())
    row = session.sql("SELECT 1").select(unread.alias("unread")).first()
    assert row is not None
    return list(row["unread"])


def _spell(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else repr(value)
