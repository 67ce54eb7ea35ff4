"""Advice: the worked examples, the rules, what was measured, and how it is asked and told."""

from __future__ import annotations

import io
import itertools
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from headway import Mode
from headway.advice import answers as files
from headway.advice import asking, measured
from headway.advice.answers import Answers
from headway.advice.candidate import candidates
from headway.advice.facts import facts
from headway.advice.page import page
from headway.advice.question import QUESTIONS, question
from headway.advice.recommendation import recommend
from headway.advice.rules import RULES
from headway.advice.text import lines
from headway.advice.verdict import judge
from headway.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "advise"
MODES = (
    Mode(name="hourly", every="1 hour"),
    Mode(name="continuous", trigger="0 seconds"),
    Mode(name="daily", every="1 day"),
)
QUARTERS = Mode(name="every_15_minutes", every="15 minutes")
OPEN = candidates(MODES, None, {})

WORKED = {
    "alerting": ("continuous", {"alerts"}, set(), {"some-skill", "office-hours"}),
    "analysts-not-up-to-date": (
        "hourly",
        {"not-up-to-date", "analysts-look"},
        set(),
        {"not-up-to-date", "only-patience"},
    ),
    "control-room": ("hourly", {"nobody-can-mend"}, set(), set()),
    "customers-office-hours": ("hourly", {"grey-in-office-hours"}, set(), {"promised"}),
    "customers-pleasant": ("daily", {"nobody-asked"}, {"fast-and-worthless"}, set()),
    "customers-promised": ("continuous", {"promised", "an-hour-costs"}, set(), {"promised"}),
    "fraud": ("continuous", {"stops-fraud"}, set(), set()),
    "fraud-report": (
        "daily",
        {"once-a-day", "day-held-back"},
        {"a-report-for-analysts", "an-alert-for-tomorrow", "an-alert-that-can-wait"},
        {"not-up-to-date", "only-patience"},
    ),
    "fraud-without-on-call": (
        "continuous",
        {"stops-fraud"},
        {"fast-and-by-hand"},
        {"nobody-can-mend", "nobody-on-call", "looked-at-by-hand"},
    ),
    "management-report": ("daily", {"once-a-day"}, {"fast-and-seldom"}, {"not-up-to-date"}),
    "master-data": ("hourly", {"read-by-batches"}, set(), set()),
    "master-data-streams": ("continuous", {"one-of-many"}, set(), set()),
    "trading": ("continuous", {"trades"}, set(), set()),
}
"""For each file in examples/advise: the mode, and ids of reasons for it, contradictions, and what comes first."""


def advise(given, modes=OPEN, figures=None, pipeline=None):
    return recommend(Answers(given), modes, figures, pipeline=pipeline)


def example(name):
    return files.read(EXAMPLES / f"{name}.yaml")


def ids(findings):
    return {finding.id for finding in findings}


def figure(name, p95, dollars, *, agrees=True, p50=None):
    return {
        "name": name,
        "kind": "bounded",
        "freshness": {"p50": p95 / 2 if p50 is None else p50, "p95": p95, "max": p95, "parts": []},
        "cpu_seconds_per_day": 1.0,
        "files_per_day": 24,
        "dollars_per_day": dollars,
        "agrees": agrees,
    }


@pytest.fixture
def compared(tmp_path):
    def make(*modes, lag=1.0):
        usual = (figure("daily", 90000, 1.0), figure("hourly", 4000, 3.0), figure("continuous", 5, 40.0))
        file = tmp_path / "punctuality.json"
        told = {
            "pipeline": "punctuality",
            "start": "2013-02-01T00:00:00Z",
            "end": "2013-02-04T00:00:00Z",
            "created_at": "2026-11-25T17:00:00Z",
            "records": 2678,
            "late_share": 0.01,
            "arrival_lag": {"p50": lag, "p95": lag * 2, "p99": lag * 3},
            "modes": list(modes or usual),
        }
        file.write_text(json.dumps(told))
        return measured.read(file)

    return make


# The worked examples


@pytest.mark.parametrize("name", sorted(p.stem for p in EXAMPLES.glob("*.yaml")))
def test_a_worked_example_leads_to_its_mode_for_its_reasons(name):
    mode, reasons, contradictions, first = WORKED[name]
    advice = recommend(example(name), OPEN)
    assert advice.mode.name == mode
    assert ids(advice.reasons_for) >= reasons
    assert ids(advice.contradictions) >= contradictions
    assert ids(advice.first) == first


def test_analysts_who_say_not_up_to_date_are_never_given_a_stream():
    given = {"destination": "dashboard", "who": "analysts", "asked": "not_up_to_date", "wanted": "1 second"}
    for loss, skills in itertools.product(question("hour_later").choices, question("skills").choices):
        advice = advise(
            {**given, "hour_later": loss.key, "skills": skills.key, "on_call": "around_the_clock"}
        )
        assert advice.mode.name == "hourly"


@pytest.mark.parametrize("destination", ["fraud", "trading", "alerting"])
def test_where_only_a_stream_will_do_no_limit_takes_it_away_and_each_becomes_a_thing_to_do_first(destination):
    team = {"skills": "none", "on_call": "none", "quality": "day_held"}
    advice = advise({"destination": destination, "who": "automaton", "wanted": "10 seconds", **team})
    assert advice.mode.name == "continuous"
    assert ids(advice.first) == {"nobody-can-mend", "nobody-on-call", "day-held-back"}
    assert ids(advice.reasons_against) >= ids(advice.first)


# What is never recommended


def test_no_mode_is_recommended_that_is_not_in_modes_or_not_open():
    dice = random.Random(6)
    spans = ["1 second", "20 seconds", "15 minutes", "1 hour", "2 hours", "1 day", "7 days", "1 millisecond"]
    for _ in range(3000):
        given = {q.key: dice.choice(q.choices).key for q in QUESTIONS if q.choices and dice.random() < 0.8}
        if dice.random() < 0.8:
            given["wanted"] = dice.choice(spans)
        there = dice.sample([*MODES, QUARTERS], dice.randint(0, 4))
        closed = {mode.name for mode in there if dice.random() < 0.4}
        verdict = judge(Answers(given), candidates(there, None, {name: ["closed"] for name in closed}))
        open_ = {mode.name for mode in there} - closed
        if verdict.mode is None:
            assert verdict.demands or not open_
        else:
            assert verdict.mode.name in open_
            assert not verdict.demands or verdict.mode.is_stream


def test_where_a_stream_is_demanded_and_closed_nothing_is_recommended_in_its_place():
    modes = candidates(MODES, None, {"continuous": ["its output time is hidden from the plan"]})
    advice = recommend(example("fraud"), modes)
    assert advice.mode is None
    assert advice.verdict.nearest.name == "hourly"
    assert "no stream is open" in advice.because
    assert any(change.key == "mode" and change.mode == "continuous" for change in advice.changes)


def test_what_is_demanded_faster_than_a_micro_batch_is_not_promised():
    advice = recommend(example("fraud").but("wanted", "10 milliseconds"), OPEN)
    assert advice.mode is None
    assert "less than a micro-batch takes" in advice.because


def test_a_mode_that_is_missing_is_told_as_a_file_to_write_and_not_as_the_recommendation():
    advice = recommend(example("control-room"), OPEN)
    assert advice.mode.name == "hourly"
    assert any('Mode(name="every_15_minutes", every="15 minutes")' in hint for hint in advice.hints)
    written = recommend(example("control-room"), candidates([*MODES, QUARTERS], None, {}))
    assert written.mode.name == "every_15_minutes"
    assert written.missing_mode is None


# What was measured


def test_a_mode_that_costs_more_than_the_pace_is_worth_is_not_recommended(compared):
    figures = compared()
    modes = candidates(MODES, figures, None)
    wish = {"wanted": "1 minute", "hour_later": "money", "asked": "too_late"}
    assert advise({**wish, "worth": "39"}, modes, figures).mode.name == "continuous"
    kept = advise({**wish, "worth": "38.99"}, modes, figures)
    assert kept.mode.name == "hourly"
    assert "not-worth-it" in ids(kept.holding)
    assert any(c.key == "worth" and c.mode == "continuous" and c.answers == ("39",) for c in kept.changes)


def test_a_faster_mode_that_was_no_fresher_is_not_recommended(compared):
    figures = compared(figure("daily", 90000, 1), figure("hourly", 4000, 3), figure("continuous", 4000, 40))
    advice = advise({"wanted": "1 minute"}, candidates(MODES, figures, None), figures)
    assert advice.mode.name == "hourly"
    assert ids(advice.holding) == {"no-gain"}
    assert any(c.key == "figures" and c.mode == "continuous" for c in advice.changes)


def test_records_that_arrive_hours_late_need_no_mode_that_waits_for_less(compared):
    figures = compared(lag=3600.0)
    advice = advise({"wanted": "1 minute"}, candidates(MODES, figures, None), figures)
    assert advice.mode.name == "hourly"
    assert ids(advice.holding) == {"arrives-late"}
    soon = compared(lag=3599.0)
    assert advise({"wanted": "1 minute"}, candidates(MODES, soon, None), soon).mode.name == "continuous"


def test_modes_that_are_missing_in_a_comparison_or_disagree_in_it_are_closed(compared):
    figures = compared(figure("daily", 90000, 1), figure("hourly", 4000, 3, agrees=False))
    states = {mode.name: mode.state for mode in candidates(MODES, figures, None)}
    assert states == {"daily": "open", "hourly": "closed", "continuous": "closed"}
    looked = {mode.name: mode.state for mode in candidates(MODES, figures, {"continuous": []})}
    assert looked == {"daily": "open", "hourly": "closed", "continuous": "open"}


def test_a_stream_that_was_measured_to_be_slower_than_wanted_is_told_so(compared):
    figures = compared()
    modes = candidates(MODES, figures, None)
    assert recommend(example("fraud"), modes, figures).meets is True
    slow = recommend(example("fraud").but("wanted", "2 seconds"), modes, figures)
    assert (slow.mode.name, slow.meets) == ("continuous", False)
    assert "It does not reach 2 seconds: 95 of 100 records" in slow.because


def test_each_step_has_its_price_and_its_work(compared):
    figures = compared()
    first, second = advise({}, candidates(MODES, figures, None), figures).steps
    assert (first.slower.name, first.faster.name, first.dollars, first.saved) == (
        "daily",
        "hourly",
        2.0,
        86000,
    )
    assert (second.faster.name, second.dollars) == ("continuous", 37.0)
    assert any("24 times as many runs" in item for item in first.work)
    assert any("at night" in item for item in second.work)


def test_a_file_that_is_no_comparison_is_refused_by_name(tmp_path):
    (tmp_path / "p.json").write_text('{"pipeline": "p"}')
    with pytest.raises(ConfigError, match=r"p\.json: not a comparison"):
        measured.read(tmp_path / "p.json")
    assert measured.read(tmp_path / "none.json") is None


# What would change it, and what is missing


@pytest.mark.parametrize("name", WORKED)
def test_what_is_said_to_change_the_advice_does_change_it_so(name):
    advice = recommend(example(name), OPEN)
    for change in advice.changes:
        for answer in change.answers:
            led = judge(advice.answers.but(change.key, answer), OPEN).mode
            assert (led.name if led else None) == change.mode != advice.mode.name


def test_missing_answers_are_named_with_what_they_decide_and_where_they_might_lead():
    advice = advise({"destination": "fraud", "wanted": "10 seconds"})
    assert {q.key for q in advice.answers.missing} == {q.key for q in QUESTIONS} - {
        "use_case",
        "destination",
        "wanted",
    }
    assert any(
        c.key == "asked" and c.is_open_question and c.answers == ("own_idea",) and c.mode == "daily"
        for c in advice.changes
    )
    assert any("10 of 12 questions are not answered" in hint for hint in advice.hints)
    assert any("What is lost if it comes an hour later?" in line for line in lines(advice))


# The table of rules


def test_every_rule_is_about_questions_and_answers_that_there_are_and_has_an_id_of_its_own():
    assert len(ids(RULES)) == len(RULES)
    for rule in RULES:
        for key, choices in (*rule.when.items(), *rule.unless.items()):
            assert question(key).kind == "dollars" or choices <= {c.key for c in question(key).choices}, (
                rule.id
            )
        assert (rule.bound is not None) == (rule.effect == "limit"), rule.id


def test_every_answer_to_a_choice_is_about_something():
    said = {(key, choice) for rule in RULES for key, choices in rule.when.items() for choice in choices}
    silent = {(q.key, c.key) for q in QUESTIONS for c in q.choices} - said
    # Answers that hold nothing back: they are what the rules would otherwise have asked for.
    assert silent == {
        ("who", "customers"),
        ("who", "systems"),
        ("acted_on", "all_day"),
        ("acted_on", "every_event"),
    }


def test_the_page_about_advice_tells_every_question_and_every_rule():
    told = (ROOT / "docs" / "how-to" / "advise.md").read_text()
    for asked in QUESTIONS:
        assert f"`{asked.key}`" in told
        assert all(f"`{choice.key}`" in told for choice in asked.choices), asked.key
    for rule in RULES:
        row = next((line for line in told.splitlines() if line.startswith(f"| `{rule.id}` |")), "")
        assert rule.reason in row, rule.id
        assert rule.bound is None or f"| {rule.bound} |" in row, rule.id
        assert all(choice in row for choices in rule.when.values() for choice in choices), rule.id


# Files of answers


def test_every_unknown_key_and_answer_is_refused_at_once_with_its_line_and_a_suggestion(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("who: analysts\ndestinatoin: fraud\nasked: not_up_to_dat\nwanted: soon\nworth: -1\n")
    with pytest.raises(ConfigError) as caught:
        files.read(file)
    said = str(caught.value)
    assert "a.yaml:2: unknown key 'destinatoin'. Did you mean 'destination'?" in said
    assert "a.yaml:3: asked: no choice 'not_up_to_dat'. Did you mean 'not_up_to_date'?" in said
    assert "a.yaml:4: wanted: 'soon' is not a span of time" in said
    assert "a.yaml:5: worth: -1 is no amount of dollars" in said
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("text", ["who: !!python/object/apply:os.getcwd []", "a: [", "- analysts"])
def test_what_is_no_plain_mapping_is_refused(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.yaml"):
        files.read(tmp_path / "a.yaml")


@pytest.mark.parametrize("name", WORKED)
def test_answers_that_are_saved_are_read_back(tmp_path, name):
    files.write(example(name), tmp_path / "saved.yaml")
    assert files.read(tmp_path / "saved.yaml") == example(name)


# Asking


def asked(*typed):
    shown = io.StringIO()
    given = asking.ask(Console(file=shown), stream=io.StringIO("\n".join(typed) + "\n"))
    return given, shown.getvalue()


def test_enter_takes_the_default_a_number_its_choice_and_a_question_mark_leaves_it_open():
    given, shown = asked("Delays", "4", "automaton", "?", "30 seconds", *[""] * 8)
    assert (given["use_case"], given["destination"], given["who"]) == ("Delays", "fraud", "automaton")
    assert given["asked"] is None
    assert given["wanted"] == "30 seconds"
    assert given["worth"] is None
    assert given["hour_later"] == "annoyance"
    assert "it stops fraud" in shown


def test_what_is_no_answer_is_asked_again_with_a_suggestion():
    given, shown = asked("", "dashbord", "9", "1", *[""] * 11)
    assert given["destination"] == "dashboard"
    assert "Did you mean 'dashboard'?" in shown
    assert "no choice '9'" in shown


# The page and the command


@pytest.mark.parametrize("name", WORKED)
def test_the_page_asks_nobody_for_anything_and_holds_what_the_text_says(name, compared):
    figures = compared()
    advice = recommend(example(name), candidates(MODES, figures, None), figures, pipeline="punctuality")
    made = page(advice, made_at="2026-11-25")
    assert not re.search(r"<(script|link|img|iframe|object)|src=|href=|@import|url\(|https?:", made)
    assert "default-src 'none'" in made
    assert "prefers-color-scheme: dark" in made
    assert "@media print" in made
    for finding in advice.verdict.findings:
        assert f">{finding.id}<" in made
    assert all(mode in made for mode in ("daily", "hourly", "continuous"))
    assert json.loads(json.dumps(facts(advice)))["mode"] == advice.mode.name


def test_what_people_type_is_text_on_the_page_and_no_markup():
    made = page(advise({"use_case": "<script>alert(1)</script> & more"}), made_at="today")
    assert "<script" not in made
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in made


def headway(*words):
    code = (
        "import sys; from headway.cli.app import main; sys.argv = ['headway', *sys.argv[1:]]\n"
        "try:\n    main()\nfinally:\n    print('headway.run.engine' in sys.modules, file=sys.stderr)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_the_command_reads_a_file_adds_what_was_measured_and_starts_no_spark(
    project_copy, tmp_path, compared
):
    home = tmp_path / "project"
    home.mkdir()
    for name in ("pipelines", "modes", "quality", "conf"):
        (home / name).symlink_to(project_copy / name)
    (home / ".headway" / "comparisons").mkdir(parents=True)
    compared().file.rename(home / ".headway" / "comparisons" / "punctuality.json")
    given = ("--answers", str(EXAMPLES / "customers-promised.yaml"))
    done = headway(
        "--project", str(home), "--json", "advise", "punctuality", *given,
        "--page", str(tmp_path / "a.html"), "--save", str(tmp_path / "a.yaml"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["pipeline"], told["mode"], told["meets_the_pace"]) == ("punctuality", "continuous", True)
    assert told["measured"]["records"] == 2678
    assert told["steps"][1]["dollars_per_day"] == 37.0
    assert done.stderr.splitlines()[-1] == "False"
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert files.read(tmp_path / "a.yaml") == example("customers-promised")


def test_without_a_terminal_and_without_a_file_the_command_ends_with_2(project_copy):
    done = headway("--project", str(project_copy), "advise")
    assert done.returncode == 2
    assert "--answers FILE" in done.stderr
