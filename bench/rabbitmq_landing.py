"""Landing a prefilled RabbitMQ queue: messages a second, from the first one taken to the last one acknowledged."""

from __future__ import annotations

import uuid

from pydantic import SecretStr

from bench.figure import Figure
from bench.ground import RUNS, WORK, measured, session
from headway.sources import RabbitMQ
from headway.testing.rabbitmq import RabbitServer

BAR = 10_000
MESSAGES = 200_000
BYTES = 200


def run():
    server = RabbitServer(WORK / "rabbitmq")
    spark = session()
    rates, cpus = [], []
    try:
        server.start()
        for number in range(RUNS + 1):
            name = uuid.uuid4().hex[:8]
            queue, table = f"bench-{name}", f"lake.landing.bench_{name}"
            server.publish(queue, [b"x" * BYTES] * MESSAGES, ids=[f"{name}-{i}" for i in range(MESSAGES)])
            source = RabbitMQ(
                queue, landing=table, schema="v binary, at timestamp", event_time="at", format="bytes"
            )
            log = source.open({"url": SecretStr(server.url)}, lambda: spark)
            cpu, seconds = measured(spark, log.land)
            assert spark.table(table).count() == MESSAGES
            log.close()
            spark.sql(f"DROP TABLE {table} PURGE")
            if number:  # the first one warms up
                rates.append(MESSAGES / seconds)
                cpus.append(cpu)
                print(f"  {number}: {MESSAGES / seconds:.0f} messages/s", flush=True)
    finally:
        server.stop()
        spark.stop()
    yield Figure.of("RabbitMQ landing", rates, unit="messages/s", bar=BAR, better="higher")
    yield Figure.of("RabbitMQ landing, cpu of 200,000 messages", cpus, unit="core seconds")
