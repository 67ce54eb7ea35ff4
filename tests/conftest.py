"""One Spark session per worker, one broker per run, and every test on tables of its own."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from pathlib import Path

import pytest

from headway.embedded.broker import Broker
from headway.project import Project
from headway.run import engine
from headway.sinks import Delta
from headway.testing import MODES, Harness
from headway.testing.rabbitmq import RabbitServer, installed

pytest.register_assert_rewrite("headway.testing.sink_suite")

ROOT = Path(__file__).parents[1]

# Airflow has an environment of its own, from which tests/integration/test_airflow.py runs these.
collect_ignore = ["airflow"]


@pytest.fixture(scope="session")
def project_copy(tmp_path_factory):
    """The shipped project in a folder of its own."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("pipelines", "modes", "quality", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="session")
def project(project_copy):
    return Project(project_copy, "local")


@pytest.fixture(scope="session")
def spark(project):
    session = engine.start(
        project,
        short=True,
        sinks=[Delta("any")],
        extra={"spark.sql.shuffle.partitions": "2", "spark.driver.memory": "3g"},
    )
    session.sql("CREATE NAMESPACE IF NOT EXISTS lake.dim")
    for table, key in (("airlines", "carrier"), ("airports", "faa")):
        rows = [("AA", "American"), ("UA", "United")] if key == "carrier" else [("LAX", "Los Angeles")]
        frame = session.createDataFrame(rows, f"{key} string, name string")
        frame.coalesce(1).writeTo(f"lake.dim.{table}").using("iceberg").createOrReplace()
    yield session
    session.stop()


@pytest.fixture(scope="session")
def harness(spark):
    made = Harness(spark)
    yield made
    made.close()


@pytest.fixture(params=MODES.values(), ids=MODES)
def mode(request):
    return request.param


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    started = Broker(tmp_path_factory.mktemp("kafka"))
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory):
    if installed() is None:
        missing = "rabbitmq-server is not installed; `make rabbitmq` installs it where it may"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    server = RabbitServer(tmp_path_factory.mktemp("rabbitmq"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def define(tmp_path):
    """Write a pipeline's file and load it as a project does."""
    from headway import project as projects

    def load(body: str, *, name: str = "p"):
        folder = tmp_path / "pipelines"
        folder.mkdir(exist_ok=True)
        file = folder / f"{name}_{uuid.uuid4().hex[:6]}.py"
        file.write_text(body)
        module = projects._module(file)
        return next(projects._instances(module, projects.Pipeline))

    return load


@pytest.fixture
def suite(tmp_path):
    """Write a suite as Great Expectations does, where definitions made by `define` look for it."""

    def write(name, *rules, **meta):
        """Each rule is (type, kwargs) or (type, kwargs, meta)."""
        folder = tmp_path / "quality"
        folder.mkdir(exist_ok=True)
        expectations = [
            {"type": kind, "kwargs": kwargs, "meta": dict(*more), "severity": "critical"}
            for kind, kwargs, *more in rules
        ]
        data = {"name": name, "expectations": expectations, "meta": meta, "id": None, "notes": None}
        (folder / f"{name}.json").write_text(json.dumps(data, indent=2))

    return write


@pytest.fixture
def await_():
    """Wait until a condition holds, or until what should bring it about has failed."""

    def wait(condition, running):
        deadline = time.monotonic() + 60
        while not condition():
            if running.done():
                running.result()
            assert time.monotonic() < deadline, "it did not come to pass"
            time.sleep(0.2)

    return wait
