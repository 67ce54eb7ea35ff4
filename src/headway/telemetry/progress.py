"""What Spark tells of a stream's micro-batches: how long each took, and how large the state is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from headway.telemetry.events import Deaf, Worked
from headway.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["listening", "worked"]

_FILES = "rocksdbSstFileSize"
"""Bytes of the files of Spark's RocksDB store, summed over its partitions."""


def worked(progress: Mapping[str, Any]) -> Worked:
    """Read a progress of Spark's, as its JSON says it.

    Rows are unknown where Spark does not count them, which is how headway sets it: it would look every
    key up once more. `spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows: "true"` in conf/ has
    it count.
    """
    states = progress.get("stateOperators", ())
    rows = sum(state["numRowsTotal"] for state in states)
    size = sum(state["memoryUsedBytes"] + state.get("customMetrics", {}).get(_FILES, 0) for state in states)
    return Worked(
        seconds=progress["durationMs"].get("triggerExecution", 0) / 1_000,
        batch=progress["batchId"],
        state_rows=rows if rows > 0 else None,
        state_bytes=size if states else None,
    )


@contextmanager
def listening(spark: SparkSession, query: StreamingQuery, telemetry: Telemetry) -> Iterator[None]:
    """Tell of a query's micro-batches while it runs.

    Spark calls back on a thread of its own, after each batch and some time later; the last batches
    before the end may not be told of. Where nobody wants to know, Spark is asked for nothing.
    """
    if not telemetry.is_measured:
        yield
        return
    with ExitStack() as held:
        with _told(telemetry):
            listener = _added(spark, _Progress(str(query.runId), telemetry))
            held.callback(_remove, spark, listener, telemetry)
        yield


def _added(spark: SparkSession, progress: _Progress) -> Any:
    """Have Spark call back, and return what it knows the listener by."""
    from pyspark import java_gateway

    gateway: Any = java_gateway
    gateway.ensure_callback_server_started(spark.sparkContext._gateway)
    jvm: Any = spark._jvm
    listener = jvm.org.apache.spark.sql.streaming.PythonStreamingQueryListenerWrapper(progress)
    spark.streams._jsqm.addListener(listener)
    return listener


def _remove(spark: SparkSession, listener: Any, telemetry: Telemetry) -> None:
    with _told(telemetry):
        spark.streams._jsqm.removeListener(listener)


@contextmanager
def _told(telemetry: Telemetry) -> Iterator[None]:
    """Tell of an error instead of raising it: a stream does not end because nobody could watch it."""
    try:
        yield
    except Exception as exc:  # noqa: BLE001 see above
        telemetry.tell(Deaf("the listener of the query", exc))


class _Progress:
    """Hears of every query of the session, as a StreamingQueryListener of PySpark's does.

    One of PySpark's own takes each progress apart in more than a hundred calls of the JVM; its JSON is one.
    """

    def __init__(self, query: str, telemetry: Telemetry) -> None:
        self._query = query
        self._telemetry = telemetry

    def onQueryStarted(self, event: Any) -> None:  # noqa: N802 the JVM's names
        """Pass over it: the query runs already."""

    def onQueryProgress(self, event: Any) -> None:  # noqa: N802
        """Tell of a batch, if it is one of the query's."""
        with _told(self._telemetry):
            progress = json.loads(event.progress().json())
            if progress["runId"] == self._query:
                self._telemetry.tell(worked(progress))

    def onQueryIdle(self, event: Any) -> None:  # noqa: N802
        """Pass over it: nothing was done."""

    def onQueryTerminated(self, event: Any) -> None:  # noqa: N802
        """Pass over it: the run itself knows."""

    class Java:
        """What py4j looks for."""

        implements = ("org.apache.spark.sql.streaming.PythonStreamingQueryListener",)
