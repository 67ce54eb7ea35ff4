"""`headway` that ends itself by `kill -9` at a named point.

    python crash_driver.py POINT NTH PAUSE ARGUMENT...

The whole group of processes dies: driver, JVM and Python workers, the NTH time that the run comes
by the point; PAUSE seconds later, where the point is in the middle of something.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from headway.cli.app import main
from headway.run import bounded, continuous
from headway.run.batches import Batches
from headway.run.books import Books
from headway.run.followers import Followers
from headway.sinks import postgres_table
from headway.sinks.delta_table import DeltaTable
from headway.sinks.iceberg_table import IcebergTable
from headway.sinks.kafka_slice import Slice
from headway.sinks.kafka_topic import KafkaTopic
from headway.sinks.postgres_table import PostgresTable

POINTS = {
    "before-offsets": [(continuous._Stream, "_move_frontiers", "before"), (bounded, "_readings", "before")],
    "after-offsets": [(Batches, "publish", "before"), (bounded, "result", "after")],
    "mid-write": [(IcebergTable, "stage", "during"), (IcebergTable, "stage_upsert", "during")],
    "set-aside": [(Books, "reject", "after")],
    "staged": [(IcebergTable, "stage", "after"), (IcebergTable, "stage_upsert", "after")],
    "iceberg": [(IcebergTable, "publish", "after")],
    "mid-postgres": [(PostgresTable, "apply", "during")],
    "postgres": [(PostgresTable, "apply", "after")],
    "slice": [(Slice, "advance", "after")],
    "kafka": [(KafkaTopic, "apply", "after")],
    "delta": [(DeltaTable, "apply", "after")],
    "before-spark": [(Batches, "publish", "after"), (Followers, "follow", "after")],
}


def kill() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


def arm(point: str, nth: int, pause: float) -> None:
    passed = [0]

    def reached() -> bool:
        passed[0] += 1
        return passed[0] == nth

    def wrap(owner: object, name: str, when: str) -> None:
        original = getattr(owner, name)

        def wrapped(*args: object, **named: object) -> object:
            if when != "after" and reached():
                if when == "before":
                    kill()
                threading.Thread(target=lambda: (time.sleep(pause), kill()), daemon=True).start()
            result = original(*args, **named)
            if when == "after" and reached():
                kill()
            return result

        setattr(owner, name, wrapped)

    for owner, name, when in POINTS[point]:
        wrap(owner, name, when)


if __name__ == "__main__":
    postgres_table._SMALL = 10  # some changes go from the driver, most by a task
    arm(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
    sys.argv = ["headway", *sys.argv[4:]]
    main()
