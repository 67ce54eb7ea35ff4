"""Each flight as it leaves or is cancelled, with the names of its airline and its destination."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headway import Lookup, pipeline, sinks, sources


@pipeline(
    inputs={
        "flights": sources.Kafka(
            "flights",
            schema="carrier string, flight int, tailnum string, origin string, dest string, "
            "scheduled_at timestamp, cancelled boolean, dep_delay int, distance int",
            event_time="scheduled_at",
            lateness="6 hours",
            late="drop",
            clock="log",
        ),
        "airlines": Lookup("lake.dim.airlines"),
        "airports": Lookup("lake.dim.airports"),
    },
    output_time="scheduled_at",
    quality="departures",
    outputs=[sinks.Iceberg("lake.flights.departures")],
)
def departures(flights: DataFrame, airlines: DataFrame, airports: DataFrame) -> DataFrame:
    airline = airlines.select("carrier", F.col("name").alias("airline"))
    airport = airports.select(F.col("faa").alias("dest"), F.col("name").alias("destination"))
    return (
        flights.join(F.broadcast(airline), "carrier", "left")
        .join(F.broadcast(airport), "dest", "left")
        .select(
            "scheduled_at",
            "origin",
            "dest",
            "destination",
            "carrier",
            "airline",
            "flight",
            "tailnum",
            "cancelled",
            "dep_delay",
        )
    )
