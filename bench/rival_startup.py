"""The hourly job by hand, as users start it: spark-submit with packages resolved at start."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

servers, home = sys.argv[1:]
spark = (
    SparkSession.builder.config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.sql.extensions", "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions")
    .config("spark.sql.catalog.lake", "org.apache.iceberg.spark.SparkCatalog")
    .config("spark.sql.catalog.lake.type", "jdbc")
    .config("spark.sql.catalog.lake.uri", f"jdbc:sqlite:{home}/catalog.db")
    .config("spark.sql.catalog.lake.jdbc.schema-version", "V1")
    .config("spark.sql.catalog.lake.warehouse", f"{home}/warehouse")
    .getOrCreate()
)
schema = "carrier string, flight int, origin string, scheduled_at timestamp, cancelled boolean, dep_delay int"
values = (
    spark.read.format("kafka")
    .option("kafka.bootstrap.servers", servers)
    .option("subscribe", "flights")
    .load()
    .select(F.from_json(F.col("value").cast("string"), schema).alias("v"), "timestamp")
    .select("v.*", "timestamp")
)
once = values.filter("timestamp <= scheduled_at + INTERVAL 6 HOURS").dropDuplicates(
    ["carrier", "flight", "origin", "scheduled_at"]
)
result = once.groupBy("origin", "carrier", F.window("scheduled_at", "1 hour")).agg(
    F.count(F.when(~F.col("cancelled"), 1)).alias("departures"),
    F.count(F.when(F.col("cancelled"), 1)).alias("cancellations"),
    F.avg(F.col("dep_delay").cast("decimal(10,2)")).alias("mean_delay"),
    F.percentile("dep_delay", 0.95).alias("p95_delay"),
)
spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.flights")
result.writeTo("lake.flights.rival").using("iceberg").partitionedBy(F.days("window.start")).create()
spark.stop()
