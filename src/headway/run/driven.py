"""A streaming source whose offsets and rows this process decides.

Spark starts a Python process for each Python data source of each stream, which imports pyspark and pandas
before the first batch. This process is there already and knows what is to be read. So a small class in the
driver's JVM, compiled by the compiler that Spark has for its own queries, asks it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

__all__ = ["Driver", "stream"]

_CLASS = "DrivenSource"


class Driver(Protocol):
    """What decides of one source; called on the thread of Spark's stream."""

    def next(self, start: str | None) -> str:
        """Return the offset, in JSON, up to which there is something to read now; `start` where nothing is new.

        Called before each batch, and some hundred times a second while there is none. `start` is the offset that
        the batch begins at; None where the query has read nothing yet.
        """
        ...

    def rows(self, start: str | None, end: str) -> DataFrame:
        """Return the rows between two offsets, as a frame that is not streaming.

        They may be asked for again after a crash, by a process that has not heard of these offsets before: what
        is returned has to depend on the offsets alone. After a start Spark also asks for those of the last batch,
        and does not use them.
        """
        ...


def stream(spark: SparkSession, schema: StructType, driver: Driver) -> DataFrame:
    """Return a streaming frame of what a driver decides, for one query."""
    from pyspark import java_gateway
    from pyspark.sql import DataFrame

    gateway: Any = java_gateway
    gateway.ensure_callback_server_started(spark.sparkContext._gateway)
    jvm: Any = spark._jvm
    java_schema = jvm.org.apache.spark.sql.types.DataType.fromJson(schema.json())
    given = jvm.java.util.ArrayList()
    given.add(java_schema)
    given.add(_Asked(driver.next, "java.util.function.Function"))
    given.add(_Asked(lambda start, end: _streaming(driver.rows(start, end)), "java.util.function.BiFunction"))
    source = _compiled(spark).getConstructors()[0].newInstance(given.toArray())
    relation = jvm.org.apache.spark.sql.execution.streaming.runtime.StreamingExecutionRelation(
        source,
        jvm.org.apache.spark.sql.catalyst.types.DataTypeUtils.toAttributes(java_schema),
        jvm.scala.Option.empty(),
        spark._jsparkSession,
    )
    return DataFrame(jvm.org.apache.spark.sql.classic.Dataset.ofRows(spark._jsparkSession, relation), spark)


class _Asked:
    """A function of this process as an object of the JVM; its two names are those that py4j looks for."""

    def __init__(self, apply: Callable[..., Any], interface: str) -> None:
        self.apply = apply
        self.Java = type("Java", (), {"implements": [interface]})


def _compiled(spark: SparkSession) -> Any:
    jvm: Any = spark._jvm
    compiler = jvm.org.codehaus.janino.SimpleCompiler()
    compiler.setParentClassLoader(spark._jsparkSession.getClass().getClassLoader())
    compiler.cook(resources.files("headway.run").joinpath(f"{_CLASS}.java").read_text())
    return compiler.getClassLoader().loadClass(f"headway.{_CLASS}")


def _streaming(frame: DataFrame) -> Any:
    """Return a frame of the JVM that hides from the optimizer what the rows hold, as a log does."""
    rows, session = frame._jdf, frame.sparkSession._jsparkSession
    return session.internalCreateDataFrame(rows.queryExecution().toRdd(), rows.schema(), True)
