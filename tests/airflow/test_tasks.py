"""What a task does with `headway`'s exit status, its result, an interval and a signal."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

PUBLISHED = '{"pipeline": "p", "mode": "hourly", "intervals": [{"revision": 1}]}'
NOTHING = '{"pipeline": "p", "mode": "hourly", "intervals": []}'
DAG_FILE = """
from datetime import timedelta
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable
from headway.airflow import HeadwayOperator

with DAG({dag_id!r}, schedule={schedule}) as dag:
    HeadwayOperator(task_id="publish", command=[{script!r}], pipeline="p", mode="hourly", table={dag_id!r},
                    retries=2, retry_delay=timedelta(0))
with DAG("after_" + {dag_id!r}, schedule=[Asset({dag_id!r})]) as after:
    pass
"""
HOURLY = 'CronDataIntervalTimetable("0 * * * *", timezone="UTC")'


def dag_file(dag_id, script, schedule=HOURLY):
    return DAG_FILE.format(dag_id=dag_id, script=str(script), schedule=schedule)


@pytest.mark.parametrize(
    ("status", "tries", "state"), [(3, 3, "failed"), (1, 1, "failed"), (2, 1, "failed"), (0, 1, "success")]
)
def test_status_3_is_tried_again_and_1_and_2_fail_at_once(script, tested, status, tries, state):
    ends = script(f"echo '{NOTHING}'; echo why >&2; exit {status}")
    _, tasks = tested(dag_file(f"ends_{status}", ends), f"ends_{status}")
    assert (tasks["publish"].state, tasks["publish"].try_number) == (state, tries)


def test_what_is_published_is_the_xcom_and_an_event_that_schedules_what_reads_the_table(
    script, tested, select
):
    _, tasks = tested(dag_file("published", script(f"echo '{PUBLISHED}'")), "published")
    assert tasks["publish"].xcom_pull(task_ids="publish")["intervals"] == [{"revision": 1}]
    (event,) = select(
        "SELECT e.extra FROM asset_event e JOIN asset a ON a.id = e.asset_id WHERE a.name = 'published'"
    )
    assert '"intervals"' in event[0]
    assert select("SELECT target_dag_id FROM asset_dag_run_queue") == [("after_published",)]


def test_a_run_that_finds_nothing_to_publish_is_no_event(script, tested, select):
    tested(dag_file("nothing", script(f"echo '{NOTHING}'")), "nothing")
    assert not select(
        "SELECT 1 FROM asset_event e JOIN asset a ON a.id = e.asset_id WHERE a.name = 'nothing'"
    )


def test_the_zero_width_interval_of_a_bare_cron_string_is_refused(script, tested):
    says = script(f"touch $(dirname $0)/ran; echo '{PUBLISHED}'")
    _, tasks = tested(dag_file("width", says, schedule='"0 * * * *"'), "width")
    assert (tasks["publish"].state, tasks["publish"].try_number) == ("failed", 1)
    assert not (says.parent / "ran").exists()


def operator(script, **arguments):
    from headway.airflow import HeadwayOperator

    given = {
        "task_id": "publish",
        "command": [str(script)],
        "pipeline": "p",
        "mode": "hourly",
        "table": "lake.t",
    }
    return HeadwayOperator(**given | arguments)


def context(end, *, kind="scheduled", hours=1):
    from airflow.sdk.execution_time.context import OutletEventAccessors

    return {
        "data_interval_start": end - timedelta(hours=hours),
        "data_interval_end": end,
        "dag_run": SimpleNamespace(run_type=kind),
        "outlet_events": OutletEventAccessors(),
    }


PAST = datetime(2013, 2, 1, 8, tzinfo=UTC)


def test_a_backfill_claims_its_interval_only_and_leaves_what_is_due_alone(script):
    from airflow.sdk.exceptions import AirflowSkipException

    echo = script("""echo "{\\"intervals\\": [], \\"words\\": \\"$*\\"}" """)
    done = operator(echo).execute(context(PAST, kind="backfill"))
    assert done["words"] == (
        "--json backfill p --mode hourly --start 2013-02-01T07:00:00+00:00 --end 2013-02-01T08:00:00+00:00"
    )
    with pytest.raises(AirflowSkipException):
        operator(echo, named=False, newest_only=True).execute(context(PAST, kind="backfill"))


def test_a_setting_sends_the_run_through_spark_submit(script):
    echo = script("""echo "{\\"intervals\\": [], \\"words\\": \\"$*\\"}" """)
    through = operator(echo, submit=("--master", "yarn"))
    span = "--start 2013-02-01T07:00:00+00:00 --end 2013-02-01T08:00:00+00:00"
    assert through.execute(context(PAST))["words"] == f"--json submit p --mode hourly {span} --master yarn"
    backfill = through.execute(context(PAST, kind="backfill"))["words"]
    assert backfill == f"--json submit p --mode hourly {span} --backfill --master yarn"


def test_what_is_due_is_looked_at_by_the_run_of_the_newest_interval_only(script):
    from airflow.sdk.exceptions import AirflowSkipException

    echo = script("""echo "{\\"intervals\\": [], \\"words\\": \\"$*\\"}" """)
    due = operator(echo, named=False, newest_only=True)
    assert due.execute(context(datetime.now(UTC)))["words"] == "--json run p --mode hourly"
    with pytest.raises(AirflowSkipException):
        due.execute(context(PAST))


@pytest.mark.parametrize(
    ("schedule", "expected"), [(None, "06:01:10"), ("30 6 * * *", "06:30:00"), ("5 * * * *", "06:05:00")]
)
def test_the_first_try_is_made_when_the_interval_may_be_closed_and_the_mode_has_its_time(
    script, schedule, expected
):
    from airflow.sdk.exceptions import AirflowRescheduleException

    end = datetime(2099, 7, 1, 4, tzinfo=UTC)  # midnight in New York
    wait = timedelta(hours=6, seconds=70)
    task = operator(script("exit 9"), wait=wait, schedule=schedule, zone="America/New_York")
    with pytest.raises(AirflowRescheduleException) as held:
        task.execute(context(end, hours=24))
    assert held.value.reschedule_date == datetime.fromisoformat(f"2099-07-01T{expected}-04:00")


def test_a_task_that_is_ended_passes_sigterm_on_and_waits_for_the_run_to_give_its_lease_back(script):
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    slow = script(
        "trap 'touch $(dirname $0)/gave_back; exit 130' TERM; touch $(dirname $0)/ran; while :; do sleep 0.1; done"
    )
    task = operator(slow)

    def end_it():
        deadline = time.monotonic() + 30
        while not (slow.parent / "ran").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
    try:
        ender = threading.Thread(target=end_it)
        ender.start()
        with pytest.raises(AirflowException, match="130") as ended:
            task.execute(context(PAST))
        ender.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not isinstance(ended.value, AirflowFailException)
    assert (slow.parent / "gave_back").exists()
