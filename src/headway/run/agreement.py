"""Whether two results hold the same rows, as bags; doubles within 1e-9 of each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

__all__ = ["Agreement", "compare"]

TOLERANCE = 1e-9
"""Relative: sums of doubles differ in the last bits with the partitioning."""
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Agreement:
    """What comparing two results has shown."""

    differences: int
    """Rows that one has and the other has not."""
    inexact: int
    """Rows whose doubles differ within the tolerance."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Some of the differences; `only_in` names the side."""


def compare(left: DataFrame, right: DataFrame, left_name: str, right_name: str) -> Agreement:
    """Compare two frames of the same columns, in any order of rows.

    Equal rows are told apart by their number: twice in one and once in the other is a
    difference. Maps are compared as sorted entries.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    columns = sorted(left.columns)
    kinds = {f.name: f.dataType.typeName() for f in left.schema}
    doubles = [c for c in columns if kinds[c] in ("double", "float")]
    exact = [c for c in columns if c not in doubles]

    def ranked(frame: DataFrame, side: str) -> DataFrame:
        flat = frame.select(
            *[
                F.sort_array(F.map_entries(c)).alias(c) if kinds[c] == "map" else F.col(f"`{c}`")
                for c in columns
            ]
        )
        order = [F.col(f"`{c}`") for c in doubles] or [F.lit(0)]
        number = F.row_number().over(Window.partitionBy(*[F.col(f"`{c}`") for c in exact]).orderBy(*order))
        return flat.select(
            F.struct(*[F.col(f"`{c}`") for c in exact], number.alias("__number")).alias("key"),
            F.struct(*[F.col(f"`{c}`") for c in doubles], F.lit(True).alias("__there")).alias(side),
        )

    together = ranked(left, "a").join(
        ranked(right, "b").withColumnRenamed("key", "key_b"), F.col("key").eqNullSafe(F.col("key_b")), "full"
    )
    near = reduce(
        lambda x, y: x & y, [_near(F.col(f"a.`{c}`"), F.col(f"b.`{c}`")) for c in doubles], F.lit(True)
    )
    same = reduce(
        lambda x, y: x & y, [F.col(f"a.`{c}`").eqNullSafe(F.col(f"b.`{c}`")) for c in doubles], F.lit(True)
    )
    is_pair = F.col("a").isNotNull() & F.col("b").isNotNull()
    judged = together.select(
        F.coalesce("key", "key_b").alias("key"),
        F.coalesce("a", "b").alias("values"),
        F.when(~is_pair & F.col("b").isNull(), F.lit(left_name))
        .when(~is_pair, F.lit(right_name))
        .when(~near, F.lit(f"{left_name} and {right_name}, with other numbers"))
        .alias("only_in"),
        (is_pair & near & ~same).alias("inexact"),
    )
    counted = judged.agg(
        F.count("only_in").alias("differences"), F.count(F.when(F.col("inexact"), 1)).alias("inexact")
    ).first()
    assert counted is not None
    rows = []
    if counted["differences"]:
        shown = (
            judged.filter("only_in IS NOT NULL")
            .select("only_in", "key.*", "values.*")
            .drop("__number", "__there")
        )
        rows = [row.asDict(recursive=True) for row in shown.limit(_SHOWN).collect()]
    return Agreement(counted["differences"], counted["inexact"], rows)


def _near(a: Column, b: Column) -> Column:
    from pyspark.sql import functions as F

    within = F.abs(a - b) <= TOLERANCE * F.greatest(F.abs(a), F.abs(b))
    return a.eqNullSafe(b) | F.coalesce(within, F.lit(False))
