"""What the benchmarks stand on: a project of their own, a broker, generated events."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import time
from pathlib import Path

from kafka import KafkaAdminClient, KafkaProducer

from headway import instant
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
PARTITIONS = 4


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
    """Processor seconds of the JVM, of the Python workers that it has started, and of this process."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    jvm = spark._jvm.java.lang.ProcessHandle.current().pid()
    return processor_seconds(jvm) + own.ru_utime + own.ru_stime


def processor_seconds(pid: int) -> float:
    """Processor seconds of a process and of those below it, with those that have ended."""
    times: dict[int, tuple[int, float]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended since; its parent counts it
            continue
        times[int(stat.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    level, found = {pid}, 0.0
    while level:
        found += sum(times[pid][1] for pid in level)
        level = {pid for pid, (parent, _) in times.items() if parent in level}
    return found / os.sysconf("SC_CLK_TCK")


def measured(spark, work) -> tuple[float, float]:
    """Run something; return its processor seconds and its seconds by the clock."""
    began, cpu_began = time.monotonic(), cpu(spark)
    work()
    return cpu(spark) - cpu_began, time.monotonic() - began


def events(topic: str, count: int, schema: str = SCHEMA) -> None:
    """Fill a topic with generated events over two days, a twentieth of them up to 50 minutes late.

    Through kafka-python, because the arrival times are part of the events: Spark's own sink stamps
    records with the moment of writing.
    """
    where = servers()
    admin = KafkaAdminClient(bootstrap_servers=where)
    exists = topic in admin.list_topics()
    admin.close()
    marker = WORK / f"{topic}.{count}.stamped"
    if exists and marker.exists():
        return
    print(f"  sending {count} events to {topic}", flush=True)
    replay.new_topics(where, [topic], partitions=PARTITIONS)
    senders = [
        multiprocessing.get_context("spawn").Process(target=_send, args=(where, topic, count, schema, part))
        for part in range(2)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
        assert sender.exitcode == 0
    marker.touch()


def _send(where: str, topic: str, count: int, schema: str, part: int) -> None:
    """Send the events of every other partition, in the order of their arrival."""
    producer = KafkaProducer(bootstrap_servers=where, linger_ms=50, batch_size=262_144, acks=1)
    step = SPAN_HOURS * 3600 * instant.SECOND / count
    for n in range(part, count, 2):
        mixed = n * 2_654_435_761 % 2**32
        arrival = START + int(n * step)
        at = arrival - (mixed // 20 % 3000 * instant.SECOND if mixed % 20 == 0 else 0)
        facts = (
            {"id": n, "k": f"k{mixed % 500}", "at": instant.iso(at), "amount": n % 1000 / 7, "note": "x" * 40}
            if schema == SCHEMA
            else {"rid": n, "k": f"k{mixed % 500}", "seen": instant.iso(at), "price": n % 100 / 3}
        )
        producer.send(
            topic,
            key=str(facts["k"]).encode(),
            value=json.dumps(facts).encode(),
            partition=n % PARTITIONS,
            timestamp_ms=arrival // 1_000,
        )
    producer.close()
