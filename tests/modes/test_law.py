"""The law: random logs through each pipeline in every mode give the same rows.

`make law CASES=1000 SEED=1` runs as many as you like; each case prints its seed, and
HEADWAY_LAW_SEED with CASES=1 repeats it.
"""

from __future__ import annotations

import os
import random

import pytest

from headway import instant
from headway.run.agreement import compare
from headway.testing import MODES, MemoryLog

pytestmark = pytest.mark.slow

CASES = int(os.environ.get("HEADWAY_LAW_CASES", "6"))
SEED = int(os.environ.get("HEADWAY_LAW_SEED", "1"))
PIPELINES = ["departures", "punctuality", "congestion", "flights_with_weather", "aircraft_days", "first_seen"]
BEGIN = instant.parse("2013-02-01T06:00:00Z")
MINUTE = 60 * instant.SECOND
HOUR = 60 * MINUTE


def delay(rng: random.Random) -> int:
    """On time, a little late, beyond lateness, beyond too_late, early and too early."""
    return rng.choice(
        [
            0,
            rng.randrange(HOUR),
            rng.randrange(HOUR),
            rng.randrange(5 * HOUR),
            rng.randrange(9 * HOUR),
            rng.randrange(40 * HOUR),
            -rng.randrange(HOUR),
            -rng.randrange(3 * HOUR),
        ]
    )


def flights(rng: random.Random) -> MemoryLog:
    partitions = rng.choice([1, 2, 3])
    busy = [p for p in range(partitions) if p == 0 or rng.random() < 0.7]  # the others stay idle
    log = MemoryLog("flights", partitions=partitions, lagging=tuple(p for p in busy if rng.random() < 0.3))
    records = []
    # Copies of one flight are equal: which of unequal ones dropDuplicates keeps is not defined (law.md).
    known = {}
    for _ in range(rng.randrange(5, 70)):
        # Some hours are empty, and some times lie on the very boundaries.
        event = (
            BEGIN
            + rng.choice([0, 1, 2, 5, 11, 12, 26]) * HOUR
            + rng.choice([0, rng.randrange(HOUR), HOUR - 1])
        )
        value = {
            "carrier": rng.choice("AB"),
            "flight": rng.randrange(4),
            "tailnum": rng.choice(["N1", "N2", None]),
            "origin": rng.choice(["JFK", "EWR"]),
            "dest": rng.choice(["LAX", "SFO"]),
            "scheduled_at": instant.iso(event),
            "cancelled": rng.random() < 0.2,
            "dep_delay": rng.choice([None, rng.randrange(-10, 90)]),
            "distance": rng.randrange(2_000),
        }
        value = known.setdefault((value["carrier"], value["flight"], value["origin"], event), value)
        records.append((event + delay(rng), value))
        if rng.random() < 0.2:
            records.append((event + delay(rng), value))
    for arrival, value in sorted(records, key=lambda r: r[0]):
        what = value if rng.random() < 0.97 else rng.choice([b"{broken", None, {"flight": 1}])
        # Now and then a record that its producer has kept back: a straggler.
        kept = arrival - rng.randrange(6 * HOUR) if rng.random() < 0.04 else arrival
        log.append(what, arrival=kept, partition=rng.choice(busy))
    return log


def weather(rng: random.Random) -> MemoryLog:
    log = MemoryLog("weather", partitions=rng.choice([1, 3]))
    for hour in range(-2, 30):
        for origin in ("JFK", "EWR"):
            if rng.random() < 0.7:
                at = BEGIN + hour * HOUR
                value = {"origin": origin, "observed_at": instant.iso(at), "temp": rng.random() * 30}
                log.append(value, arrival=at + rng.randrange(HOUR), partition=rng.randrange(log.partitions))
    return log


def spelled(case):
    return f"seed-{SEED + case}-{PIPELINES[case % len(PIPELINES)]}"


@pytest.mark.parametrize("case", range(CASES), ids=spelled)
def test_every_mode_gives_the_same_rows(case, harness, project, spark):
    seed = SEED + case
    rng = random.Random(seed)
    name = PIPELINES[case % len(PIPELINES)]
    pipeline = project.pipelines[name]
    logs = {n: weather(rng) if n == "weather" else flights(rng) for n in pipeline.sources}
    size = rng.choice([3, 17, 50])
    print(f"law: seed {seed}, {name}, batches of {size}")
    tables = {
        "daily": harness.run(pipeline, logs, MODES["daily"]),
        "hourly": in_steps(harness, pipeline, logs),
        "continuous": harness.run(pipeline, logs, MODES["continuous"], max_records_per_batch=size),
    }
    for other in ("hourly", "continuous"):
        found = compare(tables["daily"], tables[other], "daily", other)
        assert found.differences == 0, f"seed {seed}, {name}, batches of {size}: {found.rows[:5]}"
    for log in logs.values():
        log.close()


def in_steps(harness, pipeline, logs):
    """Run hourly as a schedule would, first on a half of the log that has arrived, then on the rest."""
    placed = harness.place(pipeline)
    halves = {}
    for name, log in logs.items():
        first = MemoryLog(log.topic, partitions=log.partitions)
        first._id = log._id
        first._records = {p: records[: len(records) // 2] for p, records in log._records.items()}
        halves[name] = first
    harness.run_again(placed, halves, MODES["hourly"])
    harness.run_again(placed, logs, MODES["hourly"], complete=True, records_per_job=40)
    return harness.table(placed)
