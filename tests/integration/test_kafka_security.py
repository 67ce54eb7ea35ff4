"""A broker that wants a password: the right one reads and streams, a wrong one is told clearly, none is shown."""

from __future__ import annotations

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from headway import config, instant
from headway.embedded.broker import Broker
from headway.errors import ConfigError, UnavailableError
from headway.sources.kafka_log import KafkaLog

pytestmark = [pytest.mark.servers, pytest.mark.slow]

SECRET = 'sesame "opens" \\ it'
ROWS = """
from headway import pipeline, sinks, sources

@pipeline(
    inputs={"s": sources.Kafka("guarded", schema="k string, at timestamp", event_time="at", lateness="1 hour",
                               clock="log")},
    output_time="at",
    outputs=[sinks.Iceberg("lake.n.t")],
)
def rows(s):
    return s.select("k", "at")
"""


def user(password):
    return config.Kafka(
        bootstrap_servers="ignored",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="reader",
        sasl_password=password,
    ).model_dump()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A broker whose clients' listener is SASL/PLAIN."""
    made = Broker(tmp_path_factory.mktemp("guarded"))
    made._configure()
    text = made._settings.read_text().replace("PLAINTEXT:PLAINTEXT", "PLAINTEXT:SASL_PLAINTEXT")
    escaped = SECRET.replace("\\", "\\\\\\\\").replace('"', '\\\\"')
    made._settings.write_text(
        text + "sasl.enabled.mechanisms=PLAIN\nsasl.mechanism.inter.broker.protocol=PLAIN\n"
        "listener.name.plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'username="reader" password="{escaped}" user_reader="{escaped}";\n'
    )
    made.start()
    who = {
        "bootstrap_servers": made.servers,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "reader",
        "sasl_plain_password": SECRET,
    }
    admin = KafkaAdminClient(**who)
    admin.create_topics([NewTopic("guarded", 1, 1, topic_configs={"retention.ms": "-1"})])
    admin.wait_for_topics(["guarded"])
    admin.close()
    producer = KafkaProducer(**who)
    for minute in range(5):
        at = instant.parse(f"2013-02-01T01:{minute:02}:00Z")
        value = f'{{"k": "{minute}", "at": "{instant.iso(at)}"}}'.encode()
        producer.send("guarded", value, timestamp_ms=at // 1_000)
    producer.close()
    yield made
    made.stop()


def test_the_right_password_reads_in_batch_and_stream(spark, harness, define, guarded, mode, tmp_path):
    placed = harness.place(define(ROWS))
    log = KafkaLog("guarded", user(SECRET) | {"bootstrap_servers": guarded.servers})
    rows = harness.run_again(placed, {"s": log}, mode, complete=True)
    assert rows.accounts.published == 5
    log.close()


def test_a_wrong_password_is_told_and_not_shown(guarded):
    with pytest.raises(UnavailableError, match="wrong user or password") as caught:
        KafkaLog("guarded", user("wrong-one") | {"bootstrap_servers": guarded.servers})
    assert "wrong-one" not in str(caught.value)


def test_a_protocol_with_users_needs_one(tmp_path):
    (tmp_path / "base.yaml").write_text("kafka:\n  security_protocol: SASL_SSL\n  sasl_password: hush\n")
    (tmp_path / "local.yaml").write_text("")
    with pytest.raises(ConfigError, match="SASL_SSL needs sasl_username and sasl_password") as caught:
        config.load(tmp_path, "local")
    assert "hush" not in str(caught.value)
