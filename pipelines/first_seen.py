"""Each flight once, although some records are sent twice."""

from pyspark.sql import DataFrame

from headway import pipeline, sinks, sources


@pipeline(
    inputs={
        "flights": sources.Kafka(
            "flights",
            schema="carrier string, flight int, origin string, dest string, scheduled_at timestamp",
            event_time="scheduled_at",
            lateness="6 hours",
            late="drop",
            clock="log",
        ),
    },
    output_time="scheduled_at",
    outputs=[sinks.Iceberg("lake.flights.first_seen")],
)
def first_seen(flights: DataFrame) -> DataFrame:
    return flights.select("carrier", "flight", "origin", "dest", "scheduled_at").dropDuplicates(
        ["carrier", "flight", "origin", "dest", "scheduled_at"]
    )
