"""Airflow with a database of its own; it has an environment of its own too, see `make airflow-setup`."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

HOME = Path(tempfile.mkdtemp(prefix="headway-airflow-"))
DAGS = HOME / "dags"
DAGS.mkdir()
# Airflow reads these when it is imported.
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
}
os.environ.setdefault("HEADWAY_CACHE", str(HOME / "cache"))

import pytest  # noqa: E402


@pytest.fixture(scope="session")
def database():
    """Airflow's tables, in SQLite."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def project():
    """The project whose `headway` is real: that of the checkout, or one with a broker where a test needs it."""
    return Path(os.environ.get("HEADWAY_AIRFLOW_PROJECT", Path(__file__).parents[2]))


@pytest.fixture
def script(tmp_path):
    """Write an executable that stands where `headway` does, to end as a test wants it."""

    def write(body: str, name: str = "headway") -> Path:
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return file

    return write


@pytest.fixture
def tested(database):
    """Write a DAG file, and run one of its DAGs as `airflow dags test` does; returns the run and its tasks."""
    import importlib.util

    from airflow.sdk import timezone

    def run(text: str, dag_id: str, moment: str = "2013-02-01T08:00:00"):
        file = DAGS / f"{dag_id}.py"
        file.write_text(text)
        spec = importlib.util.spec_from_file_location(f"dags_{dag_id}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        dag = next(d for d in vars(module).values() if getattr(d, "dag_id", None) == dag_id)
        done = dag.test(logical_date=timezone.parse(moment))
        return done, {task.task_id: task for task in done.get_task_instances()}

    return run


@pytest.fixture
def select(database):
    """Ask Airflow's database."""
    import sqlite3

    def ask(query: str, *values: object):
        with sqlite3.connect(HOME / "airflow.db") as connection:
            return connection.execute(query, values).fetchall()

    return ask
