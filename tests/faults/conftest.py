"""A project of its own whose topic holds a day of flights, for runs in processes of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from headway import instant
from headway.demo import flights, replay

START = instant.parse("2013-02-01T05:00:00Z")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def flights_project(tmp_path_factory, broker):
    """A project of its own whose topic holds a day of flights."""
    made = tmp_path_factory.mktemp("killed")
    for name in ("pipelines", "modes", "quality", "conf"):
        shutil.copytree(ROOT / name, made / name, ignore=shutil.ignore_patterns("__pycache__"))
    local = (made / "conf" / "local.yaml").read_text()
    (made / "conf" / "local.yaml").write_text(
        local.replace("bootstrap_servers: embedded", f"bootstrap_servers: {broker.servers}")
    )
    replay.new_topics(broker.servers, ["flights"])
    day = flights.flights(START, START + instant.duration("1 day"))
    replay.send(broker.servers, {"flights": day}, seconds=0)
    return made
