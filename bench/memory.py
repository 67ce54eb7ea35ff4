"""Resident memory of a continuous run: does it grow?

The heap rises and falls with the collector, so the greatest of each half is compared, not the mean of a part.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from bench.engine_cost import ours
from bench.figure import Figure
from bench.ground import EVENTS, WORK, events, session

MINUTES = float(os.environ.get("BENCH_MINUTES", "60"))
PER_BATCH = 400
"""So few that an hour's batches do not use the events up."""
BAR = 1.05


def run():
    spark = session()
    events("bench_events", EVENTS)
    jvm = int(spark._jvm.java.lang.ProcessHandle.current().pid())
    stop = threading.Event()
    thread = threading.Thread(
        target=ours, args=(spark, "tumbling", "continuous"), kwargs={"per_batch": PER_BATCH, "stop": stop}
    )
    thread.start()
    samples = []
    began = time.monotonic()
    while time.monotonic() - began < MINUTES * 60 and thread.is_alive():
        stop.wait(10)
        samples.append((resident(jvm) + resident(os.getpid()), resident(os.getpid())))
    stop.set()
    thread.join()
    (WORK / "memory.txt").write_text("\n".join(f"{a:.0f} {b:.0f}" for a, b in samples))
    half = len(samples) // 2
    greatest = [max(total for total, _ in part) for part in (samples[:half], samples[half:])]
    yield Figure.of(
        f"memory, greatest of second half over first, {MINUTES:.0f} minutes",
        [greatest[1] / greatest[0]],
        unit="times",
        bar=BAR,
    )
    yield Figure.of(f"memory, greatest, {MINUTES:.0f} minutes", [max(greatest)], unit="MiB")
    spark.stop()


def resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0
