"""Spark's own log: quiet unless somebody asks."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["RUN", "level", "options"]

RUN = "headway.run"
"""Property of the driver's JVM that has the id of the run; the layout of JSON lines reads it."""
_LOUDNESS = ("off", "error", "warn", "info")


def options(*, level: str, format: str, is_verbose: bool) -> list[str]:  # noqa: A002 as conf/ calls it
    """Return the options of the driver's JVM that have Spark log as conf/ says.

    Args:
        level: The least that it may say.
        format: `text`, or `json` for one object a line.
        is_verbose: Warnings too, and whole stack traces rather than their first lines.
    """
    if is_verbose:
        level = max(level, "warn", key=_LOUDNESS.index)
    name = "log4j2-json.properties" if format == "json" else "log4j2.properties"
    layout = resources.files("headway.telemetry").joinpath(name)
    found = [f"-Dlog4j2.configurationFile={layout}", f"-Dheadway.spark.level={level}"]
    return [*found, "-Dheadway.spark.stack=full"] if is_verbose else found


def level(spark: SparkSession) -> str:
    """Return the least that Spark says now."""
    jvm: Any = spark._jvm
    return str(jvm.org.apache.logging.log4j.LogManager.getRootLogger().getLevel().name())
