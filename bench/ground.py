"""What the benchmarks stand on: a project of their own, a broker, generated events."""

from __future__ import annotations

import os
import resource
import shutil
import time
from pathlib import Path

from kafka import KafkaAdminClient

from headway import instant
from headway.cli.sessions import jvm_cpu_seconds
from headway.demo import replay
from headway.embedded import stack
from headway.project import Project
from headway.run import engine

ROOT = Path(__file__).parents[1]
WORK = ROOT / "bench" / "work"
START = instant.parse("2013-02-01T00:00:00Z")
EVENTS = int(os.environ.get("BENCH_EVENTS", "5000000"))
RUNS = int(os.environ.get("BENCH_RUNS", "5"))
SCHEMA = "id bigint, k string, at timestamp, amount double, note string"
OTHER = "rid bigint, k string, seen timestamp, price double"
SPAN_HOURS = 48


def project() -> Project:
    """Return the benchmarks' project, made where it is missing."""
    for name in ("modes", "conf"):
        shutil.copytree(
            ROOT / name, WORK / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copytree(
        ROOT / "bench" / "pipelines",
        WORK / "pipelines",
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (WORK / "conf" / "base.yaml").write_text("zone: UTC\n")
    shutil.copy(ROOT / "pipelines" / "punctuality.py", WORK / "pipelines" / "punctuality.py")
    return Project(WORK, "local")


def servers() -> str:
    """Start the benchmarks' broker, or find it."""
    return stack.up(project(), print)


def session(**extra: str):
    """Start Spark as a long run does."""
    return engine.start(project(), short=False, extra=extra)


def cpu(spark) -> float:
    """Processor seconds of the JVM and of this process."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return jvm_cpu_seconds(spark) + own.ru_utime + own.ru_stime


def measured(spark, work) -> tuple[float, float]:
    """Run something; return its processor seconds and its seconds by the clock."""
    began, cpu_began = time.monotonic(), cpu(spark)
    work()
    return cpu(spark) - cpu_began, time.monotonic() - began


def events(spark, topic: str, count: int, schema: str = SCHEMA) -> None:
    """Fill a topic with generated events over two days, a twentieth of them up to 50 minutes late."""
    from pyspark.sql import functions as F

    where = servers()
    admin = KafkaAdminClient(bootstrap_servers=where)
    exists = topic in admin.list_topics()
    admin.close()
    marker = WORK / f"{topic}.{count}"
    if exists and marker.exists():
        return
    replay.new_topics(where, [topic], partitions=4)
    step = SPAN_HOURS * 3600 * instant.SECOND / count
    n = F.col("id")
    arrival = (F.lit(START) + n * step).cast("bigint")
    late = F.when(
        F.pmod(F.xxhash64(n), F.lit(20)) == 0, F.pmod(F.xxhash64(n + 7), F.lit(50 * 60)) * instant.SECOND
    )
    at = F.date_format(
        F.timestamp_micros(arrival - F.coalesce(late, F.lit(0))), "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"
    )
    key = F.concat(F.lit("k"), F.pmod(F.xxhash64(n), F.lit(500)).cast("string"))
    values = {
        SCHEMA: F.struct(
            n.alias("id"),
            key.alias("k"),
            at.alias("at"),
            (n % 1000 / 7).alias("amount"),
            F.lit("x" * 40).alias("note"),
        ),
        OTHER: F.struct(n.alias("rid"), key.alias("k"), at.alias("seen"), (n % 100 / 3).alias("price")),
    }
    frame = spark.range(0, count, 1, 4).select(
        key.alias("key"),
        F.to_json(values[schema]).alias("value"),
        F.timestamp_micros(arrival).alias("timestamp"),
    )
    (
        frame.write.format("kafka")
        .option("kafka.bootstrap.servers", where)
        .option("topic", topic)
        .option("kafka.linger.ms", "20")
        .option("kafka.batch.size", "262144")
        .save()
    )
    marker.touch()
