"""Every source passes the same suite: Kafka, RabbitMQ, memory logs, and a third party's."""

from __future__ import annotations

import json
import time
import uuid

import pytest
from kafka import KafkaProducer
from pydantic import SecretStr

from headway import instant, sources
from headway.demo import replay
from headway.source import Source
from headway.sources import Kafka, RabbitMQ
from headway.testing import MemoryLog
from headway.testing.source_suite import FACTS, SourceSuite


class KafkaOrigin:
    def __init__(self, broker):
        self.servers = broker.servers
        self.source = Kafka(f"suite-{uuid.uuid4().hex[:8]}", **FACTS)
        replay.new_topics(self.servers, [self.source.name])

    def put(self, values):
        producer = KafkaProducer(bootstrap_servers=self.servers)
        for number, value in enumerate(values):
            producer.send(self.source.name, json.dumps(value).encode(), partition=number % 3)
        producer.flush()
        producer.close()

    def open(self):
        return self.source.open({"bootstrap_servers": self.servers}, lambda: None)


class RabbitOrigin:
    def __init__(self, rabbitmq, spark):
        self.server, self.spark = rabbitmq, spark
        name = uuid.uuid4().hex[:8]
        self.source = RabbitMQ(f"suite-{name}", landing=f"lake.landing.suite_{name}", **FACTS)

    def put(self, values):
        bodies = [json.dumps(value).encode() for value in values]
        self.server.publish(self.source.name, bodies, ids=[uuid.uuid4().hex for _ in bodies])

    def open(self):
        return self.source.open({"url": SecretStr(self.server.url)}, lambda: self.spark)


class MemoryOrigin:
    def __init__(self):
        self.source = Kafka("suite", **FACTS)
        self.log = Kept("suite", partitions=2)

    def put(self, values):
        for number, value in enumerate(values):
            self.log.append(value, arrival=time.time_ns() // 1_000, partition=number % 2)

    def open(self):
        return self.log

    def close(self):
        self.log.really_close()


class Kept(MemoryLog):
    """Closing it keeps its files: the suite opens it anew."""

    really_close = MemoryLog.close

    def close(self):
        pass


class LinesOrigin:
    def __init__(self, spark, root):
        self.spark, self.root = spark, root
        self.source: Source = sources.Lines("clicks", **FACTS)
        (root / "clicks").mkdir()

    def put(self, values):
        for number, value in enumerate(values):
            line = {**value, "_arrival": instant.iso(time.time_ns() // 1_000)}
            with (self.root / "clicks" / f"{number % 2}.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")

    def open(self):
        return self.source.open({"root": str(self.root)}, lambda: self.spark)


@pytest.mark.servers
@pytest.mark.slow
class TestKafka(SourceSuite):
    @pytest.fixture
    def origin(self, broker):
        return KafkaOrigin(broker)


@pytest.mark.servers
@pytest.mark.slow
class TestRabbitMQ(SourceSuite):
    @pytest.fixture
    def origin(self, rabbitmq, spark):
        return RabbitOrigin(rabbitmq, spark)


@pytest.mark.slow
class TestMemoryLog(SourceSuite):
    @pytest.fixture
    def origin(self, harness):
        made = MemoryOrigin()
        yield made
        made.close()


@pytest.mark.slow
class TestLines(SourceSuite):
    """The example of a package that adds a source by its entry point; `make test` installs it."""

    @pytest.fixture
    def origin(self, spark, tmp_path):
        return LinesOrigin(spark, tmp_path)


def test_a_source_that_nobody_offers_is_named_with_those_that_there_are():
    with pytest.raises(AttributeError, match="RabbitMQ"):
        sources.RabitMQ  # noqa: B018
