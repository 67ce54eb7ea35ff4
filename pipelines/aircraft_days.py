"""What one aircraft does between two long rests: legs, distance and first departure."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

import headway
from headway import pipeline, sinks, sources


@pipeline(
    inputs={
        "flights": sources.Kafka(
            "flights",
            schema="tailnum string, scheduled_at timestamp, cancelled boolean, distance int",
            event_time="scheduled_at",
            lateness="6 hours",
            late="quarantine",
            clock="log",
        ),
    },
    output_time="session",
    outputs=[sinks.Iceberg("lake.flights.aircraft_days")],
)
def aircraft_days(flights: DataFrame) -> DataFrame:
    flown = flights.filter("tailnum IS NOT NULL AND NOT cancelled")
    day = headway.session("scheduled_at", gap="6 hours", max_length="1 day")
    return flown.groupBy("tailnum", *day).agg(
        F.count("*").alias("legs"),
        F.sum("distance").alias("distance"),
        F.min("scheduled_at").alias("first_departure"),
    )
