"""The pipeline in the README runs."""

from pathlib import Path

import shown

from headway.testing import MODES, MemoryLog

README = Path(__file__).parents[2] / "README.md"
IMPORTS = """
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources
"""


def test_the_pipeline_of_the_readme_counts_a_flight_that_was_sent_twice_once(harness, define):
    (body,) = shown.blocks(README.read_text(), "python")
    congestion = define(IMPORTS + body, name="congestion")
    log = MemoryLog("flights")
    flight = {"carrier": "UA", "flight": 1, "origin": "JFK", "scheduled_at": "2013-02-01T12:10:00Z"}
    for minute in (11, 12):
        log.append(flight, arrival=f"2013-02-01T12:{minute}:00Z")
    log.append(flight | {"scheduled_at": "2013-02-01T22:00:00Z"}, arrival="2013-02-01T22:00:00Z")
    rows = harness.run(congestion, {"flights": log}, MODES["hourly"]).collect()
    first = [row["flights"] for row in rows if row["window"]["end"].hour <= 13]
    assert first == [1, 1, 1, 1]
