"""Trigger time of a micro-batch, beside a hand-written foreachBatch append."""

from __future__ import annotations

import shutil
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

from bench import rivals
from bench.engine_cost import ours
from bench.figure import Figure
from bench.ground import EVENTS, RUNS, WORK, events, servers, session

BATCHES = 60
PER_BATCH = 1_000
BAR = 60.0
WARM = 15


def run():
    spark = session(**{"spark.sql.streaming.numRecentProgressUpdates": "500"})
    events("bench_events", EVENTS)
    where = servers()
    shutil.rmtree(WORK / "rival", ignore_errors=True)
    own, by_hand, above = [], [], []
    for number in range(RUNS + 1):
        stop = threading.Event()
        mine = watched(
            spark,
            lambda stop=stop: ours(spark, "row", "continuous", per_batch=PER_BATCH, stop=stop)(),
            stop.set,
        )
        theirs = watched(spark, lambda number=number: hand(spark, where, number), None)
        if number:
            own.append(mine)
            by_hand.append(theirs)
            above.append(mine - theirs)
            print(f"  {number}: {mine:.0f} ms against {theirs:.0f} ms", flush=True)
    yield Figure.of("trigger time above hand-written", above, unit="ms", bar=BAR)
    yield Figure.of("trigger time, headway", own, unit="ms")
    yield Figure.of("trigger time, hand-written", by_hand, unit="ms")
    spark.stop()


def watched(spark, work, stop) -> float:
    """Run a stream in a thread until it has done its batches, and return their median trigger time."""
    found: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        is_asked = False
        while not running.done():
            wait([running], timeout=0.2)
            for query in spark.streams.active:
                times = [
                    p["durationMs"]["triggerExecution"] for p in query.recentProgress if p["numInputRows"] > 1
                ]
                found = max(found, times, key=len)
                if len(found) >= BATCHES + WARM and not is_asked:
                    is_asked = True
                    (stop or query.stop)()
        running.result()
    return statistics.median(found[WARM:])


def hand(spark, where, number) -> None:
    name = rivals.table(spark, "row", rivals.rows("row", spark, where, stream=False))
    frame = rivals.rows("row", spark, where, stream=True, limit=PER_BATCH)
    query = (
        frame.writeStream.foreachBatch(lambda batch, _n: batch.writeTo(name).append())
        .option("checkpointLocation", str(WORK / "rival" / f"trigger-{number}-{time.time_ns()}"))
        .trigger(processingTime="0 seconds")
        .start()
    )
    query.awaitTermination()
