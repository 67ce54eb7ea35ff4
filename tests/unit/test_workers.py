"""Functions that a definition's file defines reach a process that cannot import the file."""

from __future__ import annotations

import subprocess
import sys

BODY = """
from dataclasses import dataclass
from headway import pipeline, sinks, sources

NAMES = {0: "on time", 1: "late"}

@dataclass(frozen=True)
class Delay:
    minutes: int

def named(delay):
    return NAMES[int(delay.minutes > 15)]

def label(minutes):
    return named(Delay(minutes))

@pipeline(
    inputs={"s": sources.Kafka("s", schema="at timestamp", event_time="at")},
    output_time="at",
    outputs=[sinks.Iceberg("lake.n.labelled")],
)
def labelled(s):
    return s
"""


def test_what_a_definitions_file_defines_is_sent_as_it_is(define, tmp_path):
    from pyspark import cloudpickle

    from headway.plan.workers import send_by_value

    pipeline = define(BODY)
    send_by_value(pipeline)
    (tmp_path / "label").write_bytes(cloudpickle.dumps(pipeline.function.__globals__["label"]))
    worker = f"import pickle; print(pickle.load(open({str(tmp_path / 'label')!r}, 'rb'))(20))"
    done = subprocess.run([sys.executable, "-c", worker], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "late", done.stderr
