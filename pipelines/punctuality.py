"""Departures, cancellations and delay by airport, carrier and hour."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headway import pipeline, sinks, sources


@pipeline(
    inputs={
        "flights": sources.Kafka(
            "flights",
            schema="carrier string, flight int, origin string, scheduled_at timestamp, "
            "cancelled boolean, dep_delay int",
            event_time="scheduled_at",
            lateness="6 hours",
            late="quarantine",
            clock="log",
        ),
    },
    output_time="window",
    outputs=[sinks.Iceberg("lake.flights.punctuality", keys=["origin", "carrier", "window"])],
)
def punctuality(flights: DataFrame) -> DataFrame:
    once = flights.dropDuplicates(["carrier", "flight", "origin", "scheduled_at"])
    return once.groupBy("origin", "carrier", F.window("scheduled_at", "1 hour")).agg(
        F.count(F.when(~F.col("cancelled"), 1)).alias("departures"),
        F.count(F.when(F.col("cancelled"), 1)).alias("cancellations"),
        F.avg(F.col("dep_delay").cast("decimal(10,2)")).alias("mean_delay"),
        F.percentile("dep_delay", 0.95).alias("p95_delay"),
    )
