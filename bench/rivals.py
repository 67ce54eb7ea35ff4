"""The same work by hand, as an expert writes it: no accounts, no map of ownership, no lease."""

from __future__ import annotations

import json

from pyspark.sql import functions as F

from bench.ground import OTHER, SCHEMA, WORK

LATENESS = "INTERVAL 1 HOUR"


def raw(spark, servers, topic, *, stream, limit=None):
    reader = (spark.readStream if stream else spark.read).format("kafka")
    reader = reader.option("kafka.bootstrap.servers", servers).option("subscribe", topic)
    reader = reader.option("startingOffsets", "earliest")
    if limit:
        reader = reader.option("maxOffsetsPerTrigger", limit)
    return reader.load()


def values(frame, schema):
    """Parse each record once.

    Left to itself Spark repeats from_json below a filter, once for each field that the filter asks for, and
    takes twice as long; whoever has looked at the plan stops that.
    """
    value = F.when(F.spark_partition_id() >= 0, F.from_json(F.col("value").cast("string"), schema))
    return frame.select(value.alias("v"), "timestamp")


def parsed(frame, schema, e):
    """Parse, and leave out what is late or early, as every mode of the pipeline does."""
    admitted = f"timestamp <= {e} + {LATENESS} AND {e} <= timestamp + INTERVAL 1 HOUR"
    return values(frame, schema).select("v.*", "timestamp").filter(admitted).drop("timestamp")


def rows(shape, spark, servers, *, stream, limit=None):
    events = parsed(raw(spark, servers, "bench_events", stream=stream, limit=limit), SCHEMA, "at")
    if stream:
        events = events.withWatermark("at", "1 hour")
    if shape == "row":
        return events.filter("amount > 1").select(
            "id", "k", "at", (F.col("amount") * 2).alias("double"), "note"
        )
    if shape == "tumbling":
        return events.groupBy(F.window("at", "10 minutes"), "k").agg(
            F.count("*").alias("n"), F.sum("amount").alias("sum")
        )
    if shape == "sliding":
        return events.groupBy(F.window("at", "1 hour", "15 minutes"), "k").agg(
            F.count("*").alias("n"), F.sum("amount").alias("sum")
        )
    others = parsed(raw(spark, servers, "bench_others", stream=stream, limit=limit), OTHER, "seen")
    if stream:
        others = others.withWatermark("seen", "1 hour")
    near = F.expr("e.k = o.k AND o.seen > e.at - INTERVAL 1 MINUTE AND o.seen <= e.at")
    return (
        events.alias("e")
        .join(others.alias("o"), near, "inner")
        .select("e.id", "e.k", "e.at", "e.amount", "o.rid", "o.price")
    )


def table(spark, shape, frame) -> str:
    name = f"lake.bench.rival_{shape}"
    spark.sql(f"DROP TABLE IF EXISTS {name} PURGE")
    columns = spark._jvm.org.apache.spark.sql.types.DataType.fromJson(frame.schema.json()).toDDL()
    day = "window.start" if "window" in frame.columns else "at"
    spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.bench")
    spark.sql(f"CREATE TABLE {name} ({columns}) USING iceberg PARTITIONED BY (days({day}))")
    return name


def bounded(shape, spark, servers) -> str:
    frame = rows(shape, spark, servers, stream=False)
    name = table(spark, shape, frame)
    frame.writeTo(name).append()
    return name


def continuous(shape, spark, servers, limit, run, *, progress=None) -> str:
    name = table(spark, shape, rows(shape, spark, servers, stream=False))
    frame = rows(shape, spark, servers, stream=True, limit=limit)

    def append(batch, _number):
        batch.writeTo(name).append()

    query = (
        frame.writeStream.foreachBatch(append)
        .option("checkpointLocation", str(WORK / "rival" / f"{shape}-{run}"))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    if progress is not None:
        progress.extend(json.loads(p.json) if hasattr(p, "json") else p for p in query.recentProgress)
    return name
