"""A real Airflow, in an environment of its own, on a project whose topic holds a day of flights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headway import instant
from headway.demo import flights, replay

pytestmark = [pytest.mark.servers, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-airflow" / "bin" / "python"
START = instant.parse("2013-02-01T05:00:00Z")


@pytest.fixture(scope="module")
def airflow_project(tmp_path_factory, broker):
    made = tmp_path_factory.mktemp("airflow")
    for name in ("pipelines", "modes", "quality", "conf", "airflow_dags"):
        shutil.copytree(ROOT / name, made / name, ignore=shutil.ignore_patterns("__pycache__"))
    local = (made / "conf" / "local.yaml").read_text()
    (made / "conf" / "local.yaml").write_text(
        local.replace("bootstrap_servers: embedded", f"bootstrap_servers: {broker.servers}")
    )
    replay.new_topics(broker.servers, ["flights"])
    replay.send(
        broker.servers, {"flights": flights.flights(START, START + instant.duration("1 day"))}, seconds=0
    )
    return made


def test_the_tests_that_airflow_runs_pass(airflow_project):
    if not PYTHON.exists():
        missing = "there is no .venv-airflow; `make airflow-setup` makes it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    options = "-p no:cacheprovider -o filterwarnings=default --disable-warnings --confcutdir=tests/airflow"
    environment = {
        **os.environ,
        "HEADWAY_AIRFLOW_PROJECT": str(airflow_project),
        "HEADWAY_EXECUTABLE": str(Path(sys.executable).with_name("headway")),
    }
    done = subprocess.run(
        [str(PYTHON), "-m", "pytest", "tests/airflow", *options.split()],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
