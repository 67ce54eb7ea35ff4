"""Each flight with the weather observed at its airport within the hour before it was due."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headway import pipeline, sinks, sources


@pipeline(
    inputs={
        "flights": sources.Kafka(
            "flights",
            schema="carrier string, flight int, origin string, scheduled_at timestamp, dep_delay int",
            event_time="scheduled_at",
            lateness="6 hours",
            late="drop",
            clock="log",
        ),
        "weather": sources.Kafka(
            "weather",
            schema="origin string, observed_at timestamp, temp double, wind_speed double, "
            "precip double, visib double",
            event_time="observed_at",
            lateness="2 hours",
            late="drop",
            clock="log",
        ),
    },
    output_time="scheduled_at",
    outputs=[sinks.Iceberg("lake.flights.flights_with_weather")],
)
def flights_with_weather(flights: DataFrame, weather: DataFrame) -> DataFrame:
    f, w = flights.alias("f"), weather.alias("w")
    nearby = F.expr(
        "f.origin = w.origin"
        " AND w.observed_at > f.scheduled_at - INTERVAL 1 HOUR"
        " AND w.observed_at <= f.scheduled_at"
    )
    return f.join(w, nearby, "left").select(
        "f.carrier",
        "f.flight",
        "f.origin",
        "f.scheduled_at",
        "f.dep_delay",
        "w.observed_at",
        "w.temp",
        "w.wind_speed",
        "w.precip",
        "w.visib",
    )
