"""How many flights are due to leave an airport within any 60 minutes, every 15 minutes."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headway import pipeline, sinks, sources


@pipeline(
    inputs={
        "flights": sources.Kafka(
            "flights",
            schema="carrier string, flight int, origin string, scheduled_at timestamp",
            event_time="scheduled_at",
            lateness="3 hours",
            late="correct",
            too_late="24 hours",
            clock="log",
        ),
    },
    output_time="window",
    emit="early",
    outputs=[sinks.Iceberg("lake.flights.congestion", keys=["origin", "window"])],
)
def congestion(flights: DataFrame) -> DataFrame:
    due = F.window("scheduled_at", "60 minutes", "15 minutes").alias("window")
    # A set, so that a record sent twice counts once.
    distinct = F.size(F.collect_set(F.struct("carrier", "flight", "scheduled_at")))
    return flights.groupBy("origin", due).agg(distinct.alias("flights"))
