"""One scheduled run in a process of its own, for `headway compare`: the order on stdin, what it used on stdout.

`headway.cli.compares` starts it: `python -m headway.cli.scheduled_run`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from headway.cli.compares import order_from_json
from headway.cli.sessions import connected
from headway.project import Project
from headway.run import engine, usage
from headway.run.trial import run_at

__all__ = ["main"]


def main() -> None:
    """Read the order, do the run as `headway run` would, and say what this process and its JVM used."""
    data = json.load(sys.stdin)
    project = Project(Path(data["project"]), data["environment"])
    spark = engine.start(project, short=True)
    try:
        pipeline = project.pipeline(data["pipeline"])
        with connected(project, pipeline, lambda: spark) as logs:
            trial, moment = order_from_json(data, spark, project, logs)
            run_at(trial, moment)
        used = usage.of_run(spark)
    finally:
        spark.stop()
    print(json.dumps(asdict(used)))


if __name__ == "__main__":
    main()
