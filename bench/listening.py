"""Processor time that telling of a micro-batch costs: Spark's callback with metrics, beside a listener of PySpark's own."""

from __future__ import annotations

import tempfile
import time

from pyspark import java_gateway
from pyspark.sql import functions as F
from pyspark.sql.streaming.listener import JStreamingQueryListener, StreamingQueryListener

from bench.figure import Figure
from bench.ground import RUNS, cpu, session
from headway.accounts import Accounts
from headway.telemetry.events import Published, Reached, Standing
from headway.telemetry.metrics import Metrics
from headway.telemetry.progress import _Progress
from headway.telemetry.telemetry import Telemetry

BAR = 5.0
CALLS = 400


def run():
    spark = session()
    event, query = an_event(spark)
    java_gateway.ensure_callback_server_started(spark.sparkContext._gateway)
    wrapper = spark._jvm.org.apache.spark.sql.streaming.PythonStreamingQueryListenerWrapper
    telemetry = Telemetry([Metrics("p", "continuous")], is_measured=True)
    own, theirs = wrapper(_Progress(query, telemetry)), wrapper(JStreamingQueryListener(Theirs()))
    costs = {own: [], theirs: []}
    for number in range(RUNS + 1):
        for listener, found in costs.items():
            cost = per_call(spark, lambda listener=listener: listener.onQueryProgress(event))
            if number:  # the first one warms up
                found.append(cost)
    told = [per_call(spark, lambda: tell(telemetry)) for _ in range(RUNS)]
    yield Figure.of("telling of a micro-batch, Spark's callback", costs[own], unit="CPU ms", bar=BAR)
    yield Figure.of("telling of a micro-batch, PySpark's listener", costs[theirs], unit="CPU ms")
    yield Figure.of("telling of a micro-batch, its commit", told, unit="CPU ms")
    spark.stop()


def an_event(spark):
    """Return the progress of a batch with state, two observations and two sources, and its query's run id."""
    with tempfile.TemporaryDirectory() as folder:
        one, other = (spark.readStream.format("rate").option("rowsPerSecond", 100).load() for _ in range(2))
        rows = [
            f.observe(n, *[F.max("value").alias(f"c{i}") for i in range(12)])
            for n, f in zip("ab", (one, other), strict=True)
        ]
        counts = (
            rows[0]
            .unionByName(rows[1])
            .withWatermark("timestamp", "1 hour")
            .groupBy(F.window("timestamp", "1 second"))
            .count()
        )
        query = (
            counts.writeStream.format("noop")
            .outputMode("update")
            .option("checkpointLocation", folder)
            .start()
        )
        while query.lastProgress is None or not query.lastProgress["numInputRows"]:
            query.exception()
            time.sleep(0.1)
        progress = query._jsq.lastProgress()
        query.stop()
    made = spark._jvm.java.lang.Class.forName(
        "org.apache.spark.sql.streaming.StreamingQueryListener$QueryProgressEvent"
    )
    given = spark._jvm.java.util.ArrayList()
    given.add(progress)
    return made.getConstructors()[0].newInstance(given.toArray()), str(query.runId)


class Theirs(StreamingQueryListener):
    """As the documentation of PySpark has it."""

    def onQueryStarted(self, event):  # noqa: N802
        pass

    def onQueryProgress(self, event):  # noqa: N802
        event.progress.batchId  # noqa: B018

    def onQueryTerminated(self, event):  # noqa: N802
        pass


def per_call(spark, call) -> float:
    """Return the CPU milliseconds of one call, in this process and the JVM."""
    began = cpu(spark)
    for _ in range(CALLS):
        call()
    return (cpu(spark) - began) * 1_000 / CALLS


def tell(telemetry: Telemetry) -> None:
    """Tell what the engine tells of one commit of a stream."""
    telemetry.tell(Reached({"a": 1, "b": 2}))
    telemetry.tell(Published(accounts=Accounts(read=5, admitted=5, published=3), batch=4, snapshot=7))
    telemetry.tell(Standing(1, 0))
