"""What the command line says about itself."""

import os
import subprocess
import sys
from pathlib import Path

import called
import pytest

COMMANDS = dict(called.commands())


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_shows_an_example_of_itself_that_can_be_called(path):
    text = " ".join((COMMANDS[path].help or "").split())
    before, _, example = text.partition("Example: ")
    assert before, "it says nothing of what it does"
    assert example.startswith(path), f"no example in its help: {text}"
    assert called.fault(example) is None


@pytest.mark.parametrize("path", COMMANDS)
def test_every_argument_and_option_says_what_it_is(path):
    assert [p.name for p in COMMANDS[path].params if p.name != "help" and not p.help] == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("headway runn punctuality", "no command 'runn'"),
        ("headway run punctuality --mode hourly --strat x", "no option --strat"),
        ("headway run punctuality", "needs --mode"),
        ("headway stop", "wants pipeline"),
        ("headway --json quarantine show punctuality --fate dead | head  # some", None),
    ],
)
def test_calls_that_do_not_exist_are_told_from_those_that_do(line, says):
    found = called.fault(line)
    assert found is None if says is None else says in found


def test_completion_knows_the_commands():
    environment = {
        **os.environ,
        "_HEADWAY_COMPLETE": "complete_bash",
        "COMP_WORDS": "headway qu",
        "COMP_CWORD": "1",
    }
    headway = Path(sys.executable).with_name("headway")
    done = subprocess.run([headway], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["quarantine"]
