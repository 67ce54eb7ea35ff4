"""The command line: exit statuses, messages without stack traces, help."""

import json
import subprocess
import sys
import time

import pytest


def headway(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "headway", "--project", str(folder), *words],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "punctualty", "--mode", "hourly"), "Did you mean 'punctuality'?"),
        (("run", "punctuality", "--mode", "hourli"), "Did you mean 'hourly'?"),
        (
            ("run", "punctuality", "--mode", "hourly", "--start", "2013-02-03", "--end", "2013-02-01"),
            "is not before --end",
        ),
        (("run", "punctuality", "--mode", "hourly", "--start", "2013-02-03"), "go together"),
        (
            ("run", "punctuality", "--mode", "hourly", "--start", "soon", "--end", "2013-02-01"),
            "'soon' is not a date",
        ),
        (("run", "punctuality", "--mode", "continuous", "--complete"), "--until-caught-up"),
        (("suite", "new", "departures"), "quality/departures.json is there already"),
        (("suite", "new", "departures", "--source", "flight"), "Did you mean 'flights'?"),
        (
            ("--env", "cluster", "compare", "punctuality", "--start", "2013-02-01", "--end", "2013-02-02"),
            "the environment variable",
        ),
        (("compare", "punctualty", "--start", "2013-02-01", "--end", "2013-02-02"), "'punctuality'?"),
        (("run", "--mode", "hourly"), "either a pipeline or --select"),
        (("status", "punctuality", "--max-age", "soon"), "'soon' is not a span of time"),
        (
            ("run", "punctuality", "--mode", "hourly", "--select", "punctuality"),
            "either a pipeline or --select",
        ),
        (("run", "--mode", "hourly", "--select", "+punctualty"), "Did you mean 'punctuality'?"),
        (("run", "--mode", "continuous", "--select", "punctuality+"), "--until-caught-up"),
        (
            (
                "backfill",
                "punctuality",
                "--mode",
                "continuous",
                "--start",
                "2013-02-01",
                "--end",
                "2013-02-02",
            ),
            "a stream",
        ),
    ],
)
def test_a_wrong_call_ends_with_2_a_sentence_and_no_stack_trace(project_copy, words, says):
    done = headway(project_copy, *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_broker_that_is_away_ends_with_3(project_copy):
    done = headway(project_copy, "run", "punctuality", "--mode", "hourly")
    assert done.returncode == 3
    assert "headway up" in done.stderr


def test_list_prints_one_json_object(project_copy):
    listed = json.loads(headway(project_copy, "--json", "list").stdout)
    assert {p["name"] for p in listed["pipelines"]} >= {"punctuality", "first_seen"}
    assert listed["zone"] == "America/New_York"
    hourly = {"name": "hourly", "every": "1 hour", "trigger": None, "schedule": "5 * * * *"}
    assert hourly in listed["modes"]


def test_a_folder_that_is_no_project_is_refused(tmp_path):
    done = headway(tmp_path, "list")
    assert done.returncode == 2
    assert "headway init" in done.stderr


def test_init_makes_a_project_that_lists_its_pipelines(tmp_path):
    assert headway(tmp_path, "init", str(tmp_path / "shop")).returncode == 0
    assert headway(tmp_path / "shop", "list").returncode == 0
    assert headway(tmp_path, "init", str(tmp_path / "shop")).returncode == 2


def test_an_unknown_configuration_key_ends_with_2_and_names_its_line(project_copy, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(project_copy, folder, ignore=shutil.ignore_patterns(".headway", "spark-warehouse"))
    (folder / "conf" / "local.yaml").write_text("kafak:\n  bootstrap_servers: a:1\n")
    done = headway(folder, "run", "punctuality", "--mode", "hourly")
    assert done.returncode == 2
    assert "local.yaml:1: unknown key 'kafak'. Did you mean 'kafka'?" in done.stderr


def test_help_is_quick_because_nothing_heavy_is_imported():
    code = "import sys; sys.argv=['headway','--help']\nfrom headway.cli.app import main\ntry:\n    main()\nexcept SystemExit:\n    pass\nprint([m for m in ('pyspark','kafka','pyiceberg','prometheus_client') if m in sys.modules], file=sys.stderr)"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert time.monotonic() - began < 30


def test_check_ends_with_2_for_a_suite_that_is_wrong_and_tells_the_others(project_copy, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(project_copy, folder, ignore=shutil.ignore_patterns(".headway", "spark-warehouse"))
    for name in ("aircraft_days", "departures", "first_seen", "flights_with_weather"):
        (folder / "pipelines" / f"{name}.py").unlink()
    suite = folder / "quality" / "departures.json"
    shutil.copy(suite, suite.with_name("punctuality.json"))
    punctuality = folder / "pipelines" / "punctuality.py"
    punctuality.write_text(
        punctuality.read_text().replace("output_time=", 'quality="punctuality", output_time=', 1)
    )
    rule = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}}
    full = {"name": "full", "expectations": [rule], "meta": {"gate": "mark"}}
    suite.with_name("congestion.json").write_text(json.dumps(full))
    congestion = folder / "pipelines" / "congestion.py"
    congestion.write_text(
        congestion.read_text().replace("output_time=", 'quality="congestion", output_time=', 1)
    )
    done = headway(folder, "--json", "check")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    found = {p["pipeline"]: p for p in json.loads(done.stdout)["pipelines"]}
    assert (
        "punctuality.json:5: rule has a number: there is no column 'flight'" in found["punctuality"]["says"]
    )
    assert found["congestion"]["quality"] == {
        "suite": "full",
        "per": "1 day",
        "gate": "mark",
        "rules": [{"id": "table_row_count_to_be_between", "about": "set", "on_fail": "fail"}],
        "native": [],
    }
