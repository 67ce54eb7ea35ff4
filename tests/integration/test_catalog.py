"""The embedded catalog bears a stream, maintenance and a backfill at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from headway.catalog import java_table

pytestmark = pytest.mark.slow
COMMITS = 12


def test_three_writers_of_one_table_all_get_their_commits_in(spark):
    spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.n")
    spark.sql(
        "CREATE TABLE IF NOT EXISTS lake.n.busy (n int) USING iceberg TBLPROPERTIES ('commit.retry.num-retries'='30')"
    )

    def append():
        for _ in range(COMMITS):
            java_table(spark, "lake.n.busy").newFastAppend().commit()

    def maintain():
        for _ in range(COMMITS):
            java_table(spark, "lake.n.busy").updateProperties().set("k", "v").commit()

    with ThreadPoolExecutor() as pool:
        for future in [pool.submit(work) for work in (append, append, maintain)]:
            future.result()
    assert spark.table("lake.n.busy.snapshots").count() == 2 * COMMITS
    spark.sql("DROP TABLE lake.n.busy PURGE")
