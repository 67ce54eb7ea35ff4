"""`kill -9` of the driver at a moment drawn by a seed, then the same command: the same rows.

Each run is a process of its own, as a user starts it, on a real broker.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headway import instant

pytestmark = [pytest.mark.servers, pytest.mark.slow]

KILLS = int(os.environ.get("HEADWAY_KILLS", "2"))
SEED = int(os.environ.get("HEADWAY_KILL_SEED", "1"))
START = instant.parse("2013-02-01T05:00:00Z")
ROOT = Path(__file__).parents[2]


def command(folder, mode):
    run = f"-m headway --project {folder} --json run punctuality --mode {mode} --complete".split()
    return [sys.executable, *run, *(["--until-caught-up"] if mode == "continuous" else [])]


def finish(folder, mode):
    done = subprocess.run(command(folder, mode), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def rows(folder):
    from pyiceberg.catalog.sql import SqlCatalog

    home = (folder / ".headway").resolve()
    catalog = SqlCatalog("lake", uri=f"sqlite:///{home}/catalog.db", warehouse=str(home / "warehouse"))
    table = catalog.load_table("flights.punctuality").scan().to_arrow()
    return sorted(json.dumps(row, default=str, sort_keys=True) for row in table.to_pylist())


def wipe(folder):
    shutil.rmtree(folder / ".headway", ignore_errors=True)


@pytest.fixture(scope="module")
def folder(flights_project):
    return flights_project


@pytest.fixture(scope="module")
def expected(folder):
    finish(folder, "daily")
    found = rows(folder)
    wipe(folder)
    assert len(found) > 300
    return found


@pytest.mark.parametrize("mode", ["hourly", "continuous"])
@pytest.mark.parametrize("seed", range(SEED, SEED + KILLS))
def test_a_killed_run_called_again_ends_with_the_same_rows(folder, expected, mode, seed):
    rng = random.Random(seed)
    patience = rng.uniform(6, 20)
    print(f"kill: seed {seed}, {mode}, after {patience:.1f} s")
    wipe(folder)
    running = subprocess.Popen(
        command(folder, mode), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + patience
    while running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    finish(folder, mode)
    assert rows(folder) == expected
