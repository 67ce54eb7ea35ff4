"""`kill -9` of a run that lands messages, at moments drawn by a seed: each message has landed once at the end."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError

pytestmark = [pytest.mark.servers, pytest.mark.slow]

MESSAGES = int(os.environ.get("HEADWAY_LANDING_MESSAGES", "3000"))
KILLS = int(os.environ.get("HEADWAY_LANDING_KILLS", "2"))
SEED = int(os.environ.get("HEADWAY_LANDING_SEED", "1"))
ROOT = Path(__file__).parents[2]
QUEUE = "killed"
PIPELINE = f"""
from pyspark.sql import functions as F
from headway import pipeline, sinks, sources

@pipeline(
    inputs={{"orders": sources.RabbitMQ("{QUEUE}", landing="lake.landing.orders", prefetch={max(50, MESSAGES // 100)},
                                      schema="n bigint, at timestamp", event_time="at", lateness="20000 days")}},
    output_time="at",
    outputs=[sinks.Iceberg("lake.shop.orders")],
)
def orders(orders):
    return orders.select("n", "at")
"""


@pytest.fixture
def folder(tmp_path, rabbitmq):
    for name in ("modes", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "conf" / "local.yaml").open("a") as conf:
        conf.write("rabbitmq:\n  url: ${RABBITMQ_URL}\n")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "orders.py").write_text(PIPELINE)
    return tmp_path


def started(folder, rabbitmq, *options):
    command = [sys.executable, "-m", "headway", "--project", str(folder), "run", "orders", "--mode", *options]
    return subprocess.Popen(
        command,
        env={**os.environ, "RABBITMQ_URL": rabbitmq.url},
        stdout=subprocess.DEVNULL,
        stderr=(folder / "said.log").open("a"),
        start_new_session=True,
    )


def held(folder, table):
    home = (folder / ".headway").resolve()
    catalog = SqlCatalog("lake", uri=f"sqlite:///{home}/catalog.db", warehouse=str(home / "warehouse"))
    try:
        return catalog.load_table(table).scan().to_arrow()
    except NoSuchTableError:
        return None


def test_each_message_lands_once_however_often_the_run_is_killed(folder, rabbitmq):
    names = [str(number) for number in range(MESSAGES)]
    bodies = [f'{{"n": {n}, "at": "2013-02-01T{int(n) % 24:02}:10:00Z"}}'.encode() for n in names]
    rabbitmq.publish(QUEUE, bodies, ids=names)
    rng = random.Random(SEED)
    landings = []
    for number in range(KILLS):
        patience = rng.uniform(8, 16)
        running = started(folder, rabbitmq, "continuous")
        time.sleep(patience)
        assert running.poll() is None, (folder / "said.log").read_text()[-2000:]
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        table = held(folder, "landing.orders")
        landings.append(0 if table is None else table.num_rows)
        print(f"kill {number + 1}: seed {SEED}, after {patience:.1f} s, {landings[-1]} landed")
    if MESSAGES > 50_000:
        assert landings[0] < MESSAGES, "the kills came too late to hit a landing"
    last = started(folder, rabbitmq, "hourly", "--complete")
    assert last.wait(timeout=580) == 0, (folder / "said.log").read_text()[-2000:]
    landed = held(folder, "landing.orders")
    assert Counter(landed.column("message_id").to_pylist()) == Counter(names)
    assert sorted(landed.column("offset").to_pylist()) == list(range(MESSAGES))
    assert sorted(held(folder, "shop.orders").column("n").to_pylist()) == sorted(map(int, names))
    assert rabbitmq.waiting(QUEUE) == 0
