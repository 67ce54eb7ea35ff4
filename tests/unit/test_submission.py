"""The command for spark-submit: what is in it, what a shell makes of it, and what it refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from zipfile import ZipFile

import pytest

from headway.embedded import jars
from headway.errors import CallError
from headway.project import Project
from headway.submission import Submission

ELSEWHERE = """
state: s3a://bucket/state
kafka:
  bootstrap_servers: ${KAFKA}
catalogs:
  lake:
    properties: {type: rest, uri: "${REST:http://rest}", credential: "${CATALOG_SECRET}"}
spark:
  master: null
  conf:
    spark.driver.memory: 3g
    spark.archives: environment.tar.gz#environment
    spark.driver.extraJavaOptions: -Da="${SECRET}" -Db=${MODE:some`thing}
    spark.sql.shuffle.partitions: "8"
    spark.hadoop.fs.s3a.secret.key: ${SECRET}
    spark.kubernetes.file.upload.path: s3a://bucket/upload
"""


@pytest.fixture
def folder(project_copy, tmp_path, monkeypatch):
    shutil.copytree(project_copy, tmp_path / "p", ignore=shutil.ignore_patterns(".headway"))
    (tmp_path / "p" / "conf" / "there.yaml").write_text(ELSEWHERE)
    for name, value in (("KAFKA", "k:9092"), ("SECRET", 'h"id$den'), ("CATALOG_SECRET", "hush")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SPARK_HOME", raising=False)
    return tmp_path / "p"


def submission(folder, environment="there", *, master="yarn", deploy_mode="client", resolves=False):
    return Submission(
        project=Project(folder, environment),
        pipeline="punctuality",
        command=["run", "punctuality", "--mode", "continuous"],
        master=master,
        deploy_mode=deploy_mode,
        resolves=resolves,
    )


def settings(words):
    return dict(words[n + 1].split("=", 1) for n, word in enumerate(words) if word == "--conf")


@pytest.mark.parametrize("deploy_mode", ["client", "cluster"])
def test_a_shell_reads_the_printed_command_as_what_is_run_and_it_holds_no_secret(folder, deploy_mode):
    wanted = submission(folder, deploy_mode=deploy_mode)
    printed = wanted.printed()
    assert "hush" not in printed
    assert 'h"id' not in printed
    assignment, command = printed.split(" ", 1)
    assert assignment == f"SPARK_HOME={jars.pyspark_jars().parent}"
    read = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True
    )
    assert read.stdout.split("\0")[:-1] == wanted.words()


def test_the_entry_is_a_python_file_alone_in_its_folder_and_the_run_follows(folder):
    words = submission(folder).spelled()
    entry = next(n for n, word in enumerate(words) if word.endswith(".py"))
    neighbours = {file.name for file in Path(words[entry]).parent.glob("*.py")}
    assert neighbours == {"__init__.py", "submitted.py"}
    tail = ["--project", str(folder), "--env", "there", "run", "punctuality", "--mode", "continuous"]
    assert words[entry + 1 :] == tail


def test_only_what_has_to_be_known_at_launch_is_on_the_command_line(folder):
    given = settings(submission(folder).spelled())
    assert given["spark.driver.memory"] == "3g"
    assert given["spark.driver.extraJavaOptions"].endswith('-Da="${SECRET}" -Db=${MODE:-some`thing}')
    assert not any(key.startswith(("spark.sql.", "spark.hadoop.")) for key in given)


def test_the_jars_are_those_that_are_here_or_their_coordinates(folder):
    here = jars.class_path("spark")
    words = submission(folder).spelled()
    assert set(words[words.index("--jars") + 1].split(",")) == {str(jar) for jar in here.glob("*.jar")}
    words = submission(folder, resolves=True).spelled()
    for coordinate in words[words.index("--packages") + 1].split(","):
        _, name, version = coordinate.split(":")
        assert (here / f"{name}-{version}.jar").exists()
    left_out = words[words.index("--exclude-packages") + 1].split(",")
    assert "org.apache.spark:spark-token-provider-kafka-0-10_2.13" in left_out
    assert Path(words[words.index("--jars") + 1]).exists()


@pytest.mark.parametrize(
    ("master", "prefix"),
    [("yarn", "spark.yarn.appMasterEnv."), ("k8s://https://h:6443", "spark.kubernetes.driverEnv.")],
)
def test_a_driver_elsewhere_gets_the_project_and_the_names_of_its_environment(folder, master, prefix):
    words = submission(folder, master=master, deploy_mode="cluster").spelled()
    project, environment = words[words.index("--archives") + 1].split(",")
    packed, name = project.split("#")
    assert environment == "environment.tar.gz#environment"
    with ZipFile(packed) as archive:
        assert {"pipelines/punctuality.py", "modes/hourly.py", "conf/there.yaml"} <= set(archive.namelist())
    assert words[words.index("--project") + 1] == name == "project"
    given = {key: value for key, value in settings(words).items() if key.startswith(prefix)}
    expected = ("KAFKA", "CATALOG_SECRET", "SECRET")  # REST and MODE have defaults and are not set here
    assert given == {f"{prefix}{key}": f"${{{key}}}" for key in expected}


@pytest.mark.parametrize(
    ("environment", "master", "says"),
    [
        ("there", "spark://h:7077", "client deploy mode only"),
        ("there", None, "needs a cluster manager"),
        ("local", "yarn", "state: .headway/state, the embedded Kafka broker, the embedded catalog lake"),
    ],
)
def test_what_cluster_deploy_mode_cannot_do_is_refused(folder, environment, master, says):
    with pytest.raises(CallError, match=says):
        submission(folder, environment, master=master, deploy_mode="cluster")


@pytest.mark.parametrize("knows_driver", [True, False])
def test_sigterm_is_passed_on_to_the_driver_and_its_exit_status_back(folder, tmp_path, knows_driver):
    spark_submit = tmp_path / "spark" / "bin" / "spark-submit"  # stands for Spark's, which would start a JVM
    spark_submit.parent.mkdir(parents=True)
    driver = "trap 'exit 7' TERM; echo $$ > $HEADWAY_DRIVER_FILE;" if knows_driver else "trap 'exit 8' TERM;"
    spark_submit.write_text(f"#!/bin/sh\n{driver} touch {tmp_path}/runs; while :; do sleep 0.1; done\n")
    spark_submit.chmod(0o755)
    words = [
        "--project",
        str(folder),
        "submit",
        "punctuality",
        "--mode",
        "continuous",
        "--master",
        "local[1]",
    ]
    running = subprocess.Popen(
        [sys.executable, "-m", "headway", *words], env={**os.environ, "SPARK_HOME": str(tmp_path / "spark")}
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "runs").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.terminate()
    assert running.wait(30) == (7 if knows_driver else 8)
