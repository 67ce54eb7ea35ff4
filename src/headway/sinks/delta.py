"""A Delta table that is kept equal to the table of record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from headway.errors import DefinitionError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from headway.result import Result
    from headway.sink import Follower

__all__ = ["Delta"]


@dataclass(frozen=True, slots=True)
class Delta:
    """A Delta table in a folder, made from the result's columns where it is missing.

    A table that is there already keeps its partitioning and its properties.
    """

    table: str
    """Path below `delta.root` of conf/, such as `reporting/punctuality`; or a whole one, such as `s3a://...`."""

    section: ClassVar[str] = "delta"
    spark_settings: ClassVar[Mapping[str, str]] = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        # Tables are named by path, so Spark's own catalog does not have to be Delta's.
        "spark.databricks.delta.requiredSparkConfsCheck.enabled": "false",
        # The state of a table that commits follow one by one is small; 50 tasks to read it are not.
        "spark.databricks.delta.snapshotPartitions": "2",
    }

    def __post_init__(self) -> None:
        if not self.table.strip("/") or ".." in self.table.split("/"):
            raise DefinitionError(
                f"{self.table!r} is no path of a Delta table", hint="Write it as reporting/punctuality."
            )

    def refuses(self, keys: tuple[str, ...], emit: str) -> str | None:
        """Return None: any table can be followed; see `headway.sink.FollowingSink.refuses`."""
        return None

    def follow(self, spark: SparkSession, settings: Mapping[str, Any], result: Result) -> Follower:
        """Open the table; see `headway.sink.FollowingSink.follow`.

        Args:
            spark: The session.
            settings: `delta`: `root`, the folder that relative paths count from.
            result: What the rows look like.
        """
        from headway.sinks.delta_table import DeltaTable

        is_whole = "://" in self.table or self.table.startswith("/")
        root = str(settings["delta"]["root"]).rstrip("/")
        return DeltaTable(spark, self.table, self.table if is_whole else f"{root}/{self.table}", result)
