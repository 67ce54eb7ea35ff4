"""A stream ends between two batches when it is asked to, and goes on from there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.servers, pytest.mark.slow]


def words(folder, *arguments):
    return [sys.executable, "-m", "headway", "--project", str(folder), "--json", *arguments]


def stream(folder):
    run = words(folder, "run", "punctuality", "--mode", "continuous")
    return subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def headway(folder, *arguments):
    return subprocess.run(words(folder, *arguments), capture_output=True, text=True, check=False)


def wait_until_it_has_published(folder):
    from pyiceberg.catalog.sql import SqlCatalog

    home = (folder / ".headway").resolve()
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (home / "catalog.db").exists():
            catalog = SqlCatalog(
                "lake", uri=f"sqlite:///{home}/catalog.db", warehouse=str(home / "warehouse")
            )
            if catalog.table_exists("flights.punctuality"):
                snapshot = catalog.load_table("flights.punctuality").current_snapshot()
                if snapshot is not None and "headway.batch-id" in snapshot.summary.additional_properties:
                    return
        time.sleep(0.5)
    pytest.fail("the stream has published nothing within two minutes")


def test_sigterm_and_stop_end_a_stream_with_0_and_a_second_run_is_told_who_runs(flights_project):
    folder = flights_project
    first = stream(folder)
    wait_until_it_has_published(folder)
    second = headway(folder, "run", "punctuality", "--mode", "hourly")
    assert second.returncode == 3
    assert f"process {first.pid}" in second.stderr
    first.send_signal(signal.SIGTERM)
    out, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert json.loads(out)["rows"]["read"] > 0

    again = stream(folder)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(
        "process" in h for p in status(folder) for h in p["holders"]
    ):
        assert again.poll() is None, again.communicate()
    stopped = headway(folder, "stop", "punctuality")
    assert stopped.returncode == 0, stopped.stderr
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert json.loads(out)["rows"]["read"] == 0  # everything was read by the first one


def status(folder):
    done = headway(folder, "status", "punctuality")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["pipelines"]
