"""Run real pipelines once, so that the classes they load go into the class-data archive.

`headway.embedded.archive` starts this in the background, in a folder and with a broker of its
own: `python -m headway.cli.training FILE`.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from headway import instant
from headway.cli import projects
from headway.cli.sessions import begun, connected
from headway.demo import flights, replay
from headway.embedded import stack
from headway.project import Project
from headway.run import bounded, continuous, engine

__all__ = ["train"]

_START = instant.parse("2013-02-01T05:00:00Z")
_PIPELINES = ("departures", "punctuality")
_NICE = 10


def train(target: Path) -> None:
    """Run an hourly batch and a stream on a day of flights, and have the JVM dump its classes at exit."""
    os.nice(_NICE)
    unfinished = target.with_suffix(f".{os.getpid()}")
    os.environ["SPARK_SUBMIT_OPTS"] = f"-XX:ArchiveClassesAtExit={unfinished}"
    with tempfile.TemporaryDirectory(prefix="headway-archive-") as work:
        root = Path(work) / "project"
        shutil.copytree(projects.template(), root, ignore=shutil.ignore_patterns("__pycache__"))
        project = Project(root, "local")
        servers = stack.up(project, lambda _: None)
        try:
            replay.new_topics(servers, ["flights"])
            day = flights.flights(_START, _START + instant.duration("1 day"))
            replay.send(servers, {"flights": day}, seconds=0)
            _run(project)
        finally:
            stack.down(project)
    if unfinished.exists():
        unfinished.rename(target)


def _run(project: Project) -> None:
    spark = engine.start(project)
    gateway = spark.sparkContext._gateway
    replay.load_dimensions(spark, "lake")
    for name in _PIPELINES:
        pipeline = project.pipelines[name]
        for mode in (project.modes["hourly"], project.modes["continuous"]):
            with (
                connected(project, pipeline, lambda: spark) as logs,
                begun(project, spark, pipeline, logs, mode) as job,
            ):
                cut = job.cut()
                grid = project.modes["hourly"].grid(project.config.zone)
                if mode.is_bounded:
                    bounded.run(job, bounded.Request(mode=mode, grid=grid, cut=cut))
                else:
                    request = continuous.Request(mode=mode, grid=grid, until=cut, complete=True)
                    continuous.run(job, request, threading.Event())
    spark.stop()
    assert gateway is not None
    gateway.shutdown()
    process = gateway.proc
    process.stdin.close()
    process.wait(timeout=300)


if __name__ == "__main__":
    wanted = Path(sys.argv[1])
    try:
        train(wanted)
    finally:
        wanted.with_suffix(".making").unlink(missing_ok=True)
