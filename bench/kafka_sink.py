"""The exactly-once Kafka sink beside Spark's own with the same producer settings: rows a second."""

from __future__ import annotations

import uuid
from functools import partial

from pyspark.sql import functions as F

from bench.figure import Figure
from bench.ground import PARTITIONS, RUNS, measured, servers, session
from headway.demo import replay
from headway.result import Result
from headway.sink import Applied, Change
from headway.sinks import Kafka
from headway.sinks.kafka_slice import PRODUCER

BAR = 0.5
ROWS = 2_000_000
RESULT = Result(output_time="at", is_window=False, keys=("id",))


def run():
    where = servers()
    spark = session()
    rows = spark.range(ROWS).select(
        "id",
        F.timestamp_seconds(F.lit(1_359_680_400) + F.col("id") % 86_400).alias("at"),
        F.concat(F.lit("k"), F.col("id") % 500).alias("k"),
        (F.col("id") % 1000 / 7).alias("amount"),
        F.lit("x" * 40).alias("note"),
    )
    ratios, own_rates, rival_rates = [], [], []
    for number in range(RUNS + 1):
        topics = [f"bench-{uuid.uuid4().hex[:8]}" for _ in "ab"]
        replay.new_topics(where, topics, partitions=PARTITIONS)
        _, own = measured(spark, partial(by_headway, spark, rows, where, topics[0]))
        _, rival = measured(spark, partial(by_spark, rows, where, topics[1]))
        if number:  # the first one warms both up
            own_rates.append(ROWS / own)
            rival_rates.append(ROWS / rival)
            ratios.append(rival / own)
            print(f"  {number}: {ROWS / own:.0f} against {ROWS / rival:.0f} rows/s", flush=True)
    spark.stop()
    yield Figure.of(
        "Kafka sink, rows/s, ratio", ratios, unit="times Spark's own sink", bar=BAR, better="higher"
    )
    yield Figure.of("Kafka sink, exactly once", own_rates, unit="rows/s", better="higher")
    yield Figure.of("Kafka sink, Spark's own", rival_rates, unit="rows/s", better="higher")


def by_headway(spark, rows, where: str, topic: str) -> None:
    settings = {"kafka": {"bootstrap_servers": where}}
    follower = Kafka(topic, slices=PARTITIONS).follow(spark, settings, RESULT)
    follower.prepare(rows.schema)
    to = Applied(snapshot=1, sequence=1, closed_through=0)
    change = Change(to=to, rows=rows, count=ROWS, replaced=(), upserts=False, before=lambda: None)
    assert follower.apply(change, None)
    follower.close()


def by_spark(rows, where: str, topic: str) -> None:
    producer = {f"kafka.{key}": str(value) for key, value in PRODUCER.items()}
    records = rows.select(
        F.to_json(F.struct("id")).alias("key"), F.to_json(F.struct(*rows.columns)).alias("value")
    )
    records.write.format("kafka").options(
        **{"kafka.bootstrap.servers": where, "topic": topic, **producer}
    ).save()
