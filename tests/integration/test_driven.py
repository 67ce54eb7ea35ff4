"""A streaming source that the driver's own process decides: pinned offsets, and no process beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql.types import LongType, StructType

from headway.run import driven

NUMBERS = StructType().add("n", LongType())


class Counter:
    """Numbers up to one that is moved."""

    def __init__(self, spark, end):
        self.spark = spark
        self.end = end

    def next(self, start):
        return json.dumps(self.end)

    def rows(self, start, end):
        return self.spark.range(json.loads(start or "0"), json.loads(end)).toDF("n")


def started(spark, tmp_path, counter, each):
    frame = driven.stream(spark, NUMBERS, counter)
    writer = frame.writeStream.foreachBatch(each)
    return writer.option("checkpointLocation", str(tmp_path / "checkpoint")).start()


def test_each_batch_has_the_rows_between_its_offsets(spark, tmp_path):
    counter, batches = Counter(spark, 2), []
    query = started(
        spark, tmp_path, counter, lambda rows, _: batches.append([r["n"] for r in rows.collect()])
    )
    query.processAllAvailable()
    counter.end = 5
    query.processAllAvailable()
    query.stop()
    assert batches == [[0, 1], [2, 3, 4]]


def test_a_batch_that_is_replayed_has_the_rows_of_the_offsets_that_were_pinned(spark, tmp_path):
    def fails(rows, number):
        raise ValueError("on purpose")

    context, batches = spark.sparkContext, []
    context.setLogLevel("OFF")
    with pytest.raises(StreamingQueryException):
        started(spark, tmp_path, Counter(spark, 2), fails).awaitTermination()
    context.setLogLevel("ERROR")
    query = started(
        spark, tmp_path, Counter(spark, 5), lambda rows, _: batches.append([r["n"] for r in rows.collect()])
    )
    query.processAllAvailable()
    query.stop()
    assert batches == [[0, 1], [2, 3, 4]]


def test_it_starts_no_process(spark, tmp_path):
    pid = spark._jvm.java.lang.ProcessHandle.current().pid()
    tasks = Path(f"/proc/{pid}/task")

    def children():
        return {c for t in tasks.iterdir() for c in (t / "children").read_text().split()}

    before, during = children(), []
    query = started(
        spark, tmp_path, Counter(spark, 2), lambda rows, _: during.append((rows.count(), children()))
    )
    query.processAllAvailable()
    query.stop()
    assert during == [(2, before)]
