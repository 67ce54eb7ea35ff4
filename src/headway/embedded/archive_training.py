"""Run Spark once over what a run loads, so that its classes go into the archive; `archive` starts this."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from headway.embedded import archive

__all__ = ["train"]


def train(target: Path) -> None:
    """Start Spark, use its catalog, Kafka and Iceberg classes, and have the JVM dump them at exit."""
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    unfinished = target.with_suffix(f".{os.getpid()}")
    os.environ["SPARK_SUBMIT_OPTS"] = f"-XX:ArchiveClassesAtExit={unfinished}"
    with tempfile.TemporaryDirectory(prefix="headway-archive-") as work:
        spark = (
            SparkSession.builder.master("local[1]")
            .config("spark.driver.extraClassPath", archive.class_path())
            .config(
                "spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions"
            )
            .config("spark.sql.catalog.lake", "org.apache.iceberg.spark.SparkCatalog")
            .config("spark.sql.catalog.lake.type", "jdbc")
            .config("spark.sql.catalog.lake.uri", f"jdbc:sqlite:{work}/catalog.db")
            .config("spark.sql.catalog.lake.jdbc.schema-version", "V1")
            .config("spark.sql.catalog.lake.warehouse", f"{work}/warehouse")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.ui.enabled", "false")
            .getOrCreate()
        )
        gateway = spark.sparkContext._gateway
        spark.sparkContext.setLogLevel("OFF")
        spark.sql("CREATE NAMESPACE lake.n")
        spark.sql(
            "CREATE TABLE lake.n.t (k string, at timestamp, n bigint) USING iceberg PARTITIONED BY (days(at))"
        )
        records = spark.range(100).select(F.lit('{"k": "a", "at": "2013-02-01T00:00:00Z"}').alias("value"))
        parsed = records.select(F.from_json("value", "k string, at timestamp").alias("v")).select("v.*")
        counted = parsed.groupBy("k", F.window("at", "1 hour").alias("w")).agg(F.count("*").alias("n"))
        counted.select("k", F.col("w.start").alias("at"), "n").writeTo("lake.n.t").append()
        spark.table("lake.n.t").count()
        kafka = spark.read.format("kafka").option("kafka.bootstrap.servers", "127.0.0.1:1")
        kafka = kafka.option("assign", '{"t":[0]}').option("startingOffsets", '{"t":{"0":0}}')
        # Analysed and not planned, which would ask for the broker.
        kafka.option("endingOffsets", '{"t":{"0":0}}').load()
        spark.stop()
        assert gateway is not None
        gateway.shutdown()
        process = gateway.proc
        process.stdin.close()
        process.wait(timeout=300)
    if unfinished.exists():
        unfinished.rename(target)


if __name__ == "__main__":
    wanted = Path(sys.argv[1])
    try:
        train(wanted)
    finally:
        wanted.with_suffix(".making").unlink(missing_ok=True)
