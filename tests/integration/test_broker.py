"""The embedded broker finds its data again."""

from __future__ import annotations

import pytest
from kafka import KafkaAdminClient

from headway.demo import replay
from headway.embedded.broker import Broker

pytestmark = [pytest.mark.servers, pytest.mark.slow]


def test_a_broker_whose_folder_was_moved_starts_with_its_topics(tmp_path):
    first = Broker(tmp_path / "before")
    replay.new_topics(first.start(), ["kept"])
    first.stop()
    (tmp_path / "before").rename(tmp_path / "after")
    second = Broker(tmp_path / "after")
    try:
        admin = KafkaAdminClient(bootstrap_servers=second.start())
        assert "kept" in admin.list_topics()
        admin.close()
    finally:
        second.stop()
