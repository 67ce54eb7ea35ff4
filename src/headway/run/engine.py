"""Starting Spark the way headway needs it."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.embedded import archive, classes, java
from headway.project import Project
from headway.sink import FollowingSink
from headway.telemetry import spark_log

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["catalog_settings", "start"]

_PROVIDER = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
_EXTENSIONS = "spark.sql.extensions"
_GATEWAY = "PYSPARK_GATEWAY_PORT"
"""Environment variable that spark-submit sets for a Python driver whose JVM it has started."""
_CLASS_PATH = "spark.driver.extraClassPath"
_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    _EXTENSIONS: "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    "spark.sql.streaming.stateStore.providerClass": _PROVIDER,
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    "spark.sql.streaming.stateStore.rocksdb.trackTotalNumberOfRows": "false",
    "spark.sql.streaming.multipleWatermarkPolicy": "min",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.ui.retainedExecutions": "5",
    "spark.ui.retainedJobs": "20",
    "spark.ui.retainedStages": "20",
    "spark.ui.retainedTasks": "200",
    "spark.sql.streaming.numRecentProgressUpdates": "20",
    "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",
    # Notes the caller of each call of PySpark, in six further calls to the JVM. Errors name the definition without it.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}


def start(
    project: Project,
    *,
    short: bool = False,
    sinks: Iterable[FollowingSink] = (),
    extra: Mapping[str, str] | None = None,
    run: str = "",
    is_verbose: bool = False,
) -> SparkSession:
    """Return a Spark session with the project's catalogs and headway's settings.

    Args:
        project: Whose configuration and pipelines count.
        short: The process runs for seconds: compile quickly rather than well.
        sinks: Sinks to prepare for beside those of the project's pipelines.
        extra: Settings over all others.
        run: Id of the run, for Spark's own log.
        is_verbose: Spark's own log has warnings too, and whole stack traces.
    """
    is_submitted = _GATEWAY in os.environ
    if not is_submitted:
        java.find()
    settings = dict(_SETTINGS)
    if not is_submitted and _is_local(project.config.spark.master):
        settings |= classes.FILE_SYSTEM
    for name, catalog in project.config.catalogs.items():
        settings |= catalog_settings(name, catalog.embedded, catalog.properties, project.home)
    if not is_submitted:
        settings["spark.sql.shuffle.partitions"] = str(_cores(project.config.spark.master))
    named = [sink for pipeline in project.pipelines.values() for sink in pipeline.following]
    for more in (*(sink.spark_settings for sink in (*named, *sinks)), project.config.spark.conf, extra or {}):
        settings = _with(settings, more)
    if is_submitted:
        return _submitted(settings, run)
    logs = project.config.logs
    talk = spark_log.options(level=logs.spark, format=logs.format, is_verbose=is_verbose)
    talk.append(f"-D{spark_log.RUN}={run}")
    return _session(project.config.spark.master, settings, talk, short=short)


def _is_local(master: str | None) -> bool:
    """Tell whether all that runs is in the driver's JVM, which has headway's own classes."""
    return master is not None and re.fullmatch(r"local(\[[^\]]*\])?", master) is not None


def _with(settings: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Return settings of Spark with some more over them, and the extensions of both."""
    extensions = ",".join(
        dict.fromkeys(
            name for part in (settings, more) for name in part.get(_EXTENSIONS, "").split(",") if name
        )
    )
    return {**settings, **more, _EXTENSIONS: extensions}


def catalog_settings(name: str, embedded: bool, properties: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return Spark's settings for one Iceberg catalog."""
    prefix = f"spark.sql.catalog.{name}"
    given = {
        "cache-enabled": "false",
        **(_embedded_catalog(home) if embedded else {}),
        **properties,
    }
    return {prefix: "org.apache.iceberg.spark.SparkCatalog"} | {f"{prefix}.{k}": v for k, v in given.items()}


def _embedded_catalog(home: Path) -> dict[str, str]:
    (home / "warehouse").mkdir(parents=True, exist_ok=True)
    return {
        "type": "jdbc",
        "uri": f"jdbc:sqlite:{home.resolve()}/catalog.db?journal_mode=WAL&busy_timeout=30000&synchronous=NORMAL",
        "warehouse": str((home / "warehouse").resolve()),
        "jdbc.schema-version": "V1",
    }


def _submitted(settings: Mapping[str, str], run: str) -> SparkSession:
    """Return the session of a driver that spark-submit has started: the master and the class path are its business."""
    from pyspark.sql import SparkSession

    spark = _ready(SparkSession.builder.config(map=dict(settings)))
    jvm: Any = spark._jvm
    jvm.java.lang.System.setProperty(spark_log.RUN, run)
    return spark


def _session(
    master: str | None, settings: Mapping[str, str], talk: Iterable[str], *, short: bool
) -> SparkSession:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    options = [*talk, "-XX:+IgnoreUnrecognizedVMOptions"]
    # What the JVM itself has to say is talk, and stdout is for data.
    options += ["-XX:+DisplayVMOutputToStderr", "-Xlog:disable", "-Xlog:all=warning:stderr"]
    # Where only the first compiler works, Java 17 reserves 48 MB, which Spark fills in minutes; then nothing is compiled.
    options.append("-XX:ReservedCodeCacheSize=240m")
    options += archive.options()
    if short:
        options.append("-XX:TieredStopAtLevel=1")
    given = os.environ.get("SPARK_SUBMIT_OPTS", "")
    os.environ["SPARK_SUBMIT_OPTS"] = " ".join([*options, given]).strip()
    # PySpark imports these at its first call of the JVM; meanwhile the JVM starts. Those of its own not
    # before `pyspark.sql` is there: two threads that import it at once find it half made.
    if find_spec("pandas") is not None:
        _import_aside("pandas")
    try:
        from pyspark.sql import SparkSession

        _import_aside("pyspark.testing.utils")
        path = ":".join(filter(None, (archive.class_path(), settings.get(_CLASS_PATH))))
        builder = SparkSession.builder.appName("headway").config(map={**settings, _CLASS_PATH: path})
        if master is not None:
            builder = builder.master(master)
        return _ready(builder)
    finally:
        os.environ["SPARK_SUBMIT_OPTS"] = given


def _ready(builder: SparkSession.Builder) -> SparkSession:
    spark: SparkSession = builder.getOrCreate()
    # PySpark logs each analysis error as JSON on stderr, beside raising it.
    logging.getLogger("DataFrameQueryContextLogger").setLevel(logging.CRITICAL)
    return spark


def _import_aside(module: str) -> None:
    threading.Thread(target=import_module, args=(module,), daemon=True).start()


def _cores(master: str | None) -> int:
    if master is not None and master.startswith("local[") and master[6:-1].isdigit():
        return int(master[6:-1])
    return os.cpu_count() or 2
