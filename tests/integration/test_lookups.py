"""Which version of a lookup a record sees depends on the record, in every mode and on every rerun."""

from __future__ import annotations

import pytest

from headway import instant
from headway.testing import MemoryLog

pytestmark = pytest.mark.slow

PIPELINE = """
from headway import Lookup, pipeline, sinks, sources

@pipeline(
    inputs={{
        "s": sources.Kafka("s", schema="k string, at timestamp", event_time="at", lateness="30 days", clock="log"),
        "names": Lookup("{table}", refresh="1 second", settle="0 seconds"),
    }},
    output_time="at",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def p(s, names):
    return s.join(names, "k", "left").select("at", "k", "name")
"""


def test_records_before_and_after_a_new_version_see_their_own(spark, harness, define, mode):
    import time
    import uuid

    table = f"lake.dim.names_{uuid.uuid4().hex[:8]}"
    spark.sql(f"CREATE TABLE {table} (k string, name string) USING iceberg")
    spark.sql(f"INSERT INTO {table} VALUES ('a', 'old')")
    first = time.time_ns() // 1_000
    time.sleep(2.2)  # the versions have to be more than one refresh apart
    spark.sql(f"INSERT OVERWRITE {table} VALUES ('a', 'new')")
    log = MemoryLog("s", partitions=1)
    hour = instant.duration("1 hour")
    for at in (first - hour, first, first + 10 * hour):
        log.append({"k": "a", "at": instant.iso(at // 1_000 * 1_000)}, arrival=at)
    rows = harness.run(define(PIPELINE.format(table=table)), {"s": log}, mode).collect()
    assert [r["name"] for r in sorted(rows, key=lambda r: r["at"])] == ["old", "old", "new"]
    tags = {r["name"] for r in spark.table(f"{table}.refs").collect() if r["type"] == "TAG"}
    assert len(tags) == 2
    log.close()
