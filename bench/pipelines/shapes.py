"""The four shapes that are measured, as a team would define them."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headway import pipeline, sinks, sources

EVENTS = sources.Kafka(
    "bench_events",
    schema="id bigint, k string, at timestamp, amount double, note string",
    event_time="at",
    lateness="1 hour",
    clock="log",
)
OTHERS = sources.Kafka(
    "bench_others",
    schema="rid bigint, k string, seen timestamp, price double",
    event_time="seen",
    lateness="1 hour",
    clock="log",
)


@pipeline(inputs={"events": EVENTS}, output_time="at", outputs=[sinks.Iceberg("lake.bench.row")])
def row(events: DataFrame) -> DataFrame:
    return events.filter("amount > 1").select("id", "k", "at", (F.col("amount") * 2).alias("double"), "note")


@pipeline(inputs={"events": EVENTS}, output_time="window", outputs=[sinks.Iceberg("lake.bench.tumbling")])
def tumbling(events: DataFrame) -> DataFrame:
    return events.groupBy(F.window("at", "10 minutes"), "k").agg(
        F.count("*").alias("n"), F.sum("amount").alias("sum")
    )


@pipeline(inputs={"events": EVENTS}, output_time="window", outputs=[sinks.Iceberg("lake.bench.sliding")])
def sliding(events: DataFrame) -> DataFrame:
    return events.groupBy(F.window("at", "1 hour", "15 minutes"), "k").agg(
        F.count("*").alias("n"), F.sum("amount").alias("sum")
    )


@pipeline(
    inputs={"events": EVENTS, "others": OTHERS},
    output_time="at",
    outputs=[sinks.Iceberg("lake.bench.joined")],
)
def joined(events: DataFrame, others: DataFrame) -> DataFrame:
    e, o = events.alias("e"), others.alias("o")
    near = F.expr("e.k = o.k AND o.seen > e.at - INTERVAL 1 MINUTE AND o.seen <= e.at")
    return e.join(o, near, "inner").select("e.id", "e.k", "e.at", "e.amount", "o.rid", "o.price")
