"""What README and the documents show exists."""

import re
import subprocess
import sys
from pathlib import Path

import called
import pytest
import shown
from pydantic import BaseModel

from headway.config import Config

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [
    README,
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / f"{n}.md" for n in ("CHANGELOG", "CONTRIBUTING", "SECURITY")),
]
PLACEHOLDER = re.compile(r"\bCOMMAND\b|\.\.\.|[\[\]|]")


@pytest.mark.parametrize(
    ("printed", "missing"),
    [
        ("WARNING: x\nread 48, 6\nclosed at 11:00\n", None),
        ("closed at 11:00\nread 48, 6\n", "closed at ..."),
        ("read 47, 6\nclosed at 11:00\n", "read 48"),
    ],
)
def test_shown_lines_are_printed_in_their_order(printed, missing):
    (command,) = shown.steps("```console\n$ headway run\nread 48\nclosed at ...\n```\n")
    assert command == shown.Command("headway run", ("read 48", "closed at ..."))
    assert command.missing(printed) == missing


def calls(page):
    """Each call of `headway`: in console blocks, and between backticks in the prose."""
    text = page.read_text()
    for step in shown.steps(text):
        if isinstance(step, shown.Command) and step.line.startswith("headway "):
            yield step.line
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`(headway [^`]+)`", prose):
        if not PLACEHOLDER.search(code):
            yield " ".join(code.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_a_page_shows_exist_with_those_options(page):
    # In prose a command may be named without what it needs.
    lenient = ("wants", "needs")
    faults = {line: called.fault(line) for line in calls(page)}
    assert {
        k: v for k, v in faults.items() if v is not None and not any(f" {w} " in v for w in lenient)
    } == {}


def test_commands_in_blocks_of_the_readme_are_whole():
    lines = [s.line for s in shown.steps(README.read_text()) if isinstance(s, shown.Command)]
    found = [called.fault(line) for line in lines if line.startswith("headway ")]
    assert found
    assert set(found) == {None}


def test_targets_of_make_that_pages_name_exist():
    text = "\n".join(page.read_text() for page in PAGES)
    calls = [*re.findall(r"`make ([a-z -]+)", text), *re.findall(r"^\$ make ([a-z -]+)", text, re.MULTILINE)]
    named = {word for call in calls for word in call.split()}
    assert {"demo", "test", "docs", "airflow-setup"} <= named
    assert named - set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) == set()


@pytest.mark.parametrize("page", [p for p in PAGES if p.parent == ROOT], ids=lambda page: page.name)
def test_links_of_pages_outside_the_site_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("words", [("--help",), ("down",), ("list",), ("--json", "list")])
def test_cheap_commands_of_the_readme_work(project_copy, words):
    done = subprocess.run(
        [Path(sys.executable).with_name("headway"), *words],
        cwd=project_copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_readmes_mode_is_one():
    (code,) = re.findall(r"`(MODE = Mode\(.*?\))`", README.read_text())
    found = {}
    exec(f"from headway import Mode\n{code}", found)
    assert found["MODE"].is_bounded


def keys(model, above=""):
    """Each key of conf/ as the reference writes it: `<name>` stands for any."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        below = [
            a
            for a in (kind, *getattr(kind, "__args__", ()))
            if isinstance(a, type) and issubclass(a, BaseModel)
        ]
        named = ".<name>" if getattr(kind, "__origin__", None) is dict and below else ""
        if below:
            yield from keys(below[0], f"{above}{name}{named}.")
        else:
            yield f"{above}{name}"


def test_the_reference_of_the_configuration_has_every_key_and_no_other():
    page = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    cells = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    written = {key.removesuffix(".<name>") for cell in cells for key in re.findall(r"`([^`]+)`", cell)}
    assert written == set(keys(Config))
