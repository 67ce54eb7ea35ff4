"""The tutorial, word by word: its commands in one shell, its files where they belong, what it shows compared."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import shown

pytestmark = [pytest.mark.servers, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
LONGEST = 420.0
AGAIN = 90.0
"""How long a look at the table is repeated while a stream is behind, in seconds."""


class Shell:
    """One shell, in which `cd` and `export` last."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env={k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "HEADWAY_E"))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._watchdog = threading.Timer(LONGEST, self.kill)
        self._watchdog.start()

    def run(self, command: str) -> tuple[int, str]:
        """Return the exit status of a command and all that it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f'{command}\ns=$?; echo; echo "== $s =="\n')
        self._process.stdin.flush()
        printed: list[str] = []
        for line in self._process.stdout:
            if line.startswith("== ") and line.endswith(" ==\n"):
                return int(line.split()[1]), "".join(printed).removesuffix("\n")
            printed.append(line)
        pytest.fail(f"the shell ended at `{command}`:\n{''.join(printed)}")

    def kill(self) -> None:
        """End the shell and what it has started in the background."""
        self._watchdog.cancel()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def shell():
    started = Shell(ROOT)
    yield started
    started.run("headway down")
    started.kill()


@pytest.fixture
def airflow():
    if not (ROOT / ".venv-airflow" / "bin" / "airflow").exists():
        missing = "there is no .venv-airflow; `make airflow-setup` makes it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)


def test_a_new_user_gets_what_the_tutorial_shows(airflow, shell, tmp_path):
    shell.run(f"export TMPDIR={tmp_path}")
    for step in shown.steps((ROOT / "docs" / "tutorial.md").read_text()):
        began = time.monotonic()
        if isinstance(step, shown.File):
            folder = Path(shell.run("pwd")[1].strip())
            (folder / step.name).write_text(step.text)
            continue
        status, printed = shell.run(step.line)
        while step.line.startswith("python show.py") and step.missing(printed) is not None:
            assert time.monotonic() - began < AGAIN, printed
            time.sleep(1)
            status, printed = shell.run(step.line)
        print(f"{time.monotonic() - began:5.1f} s  $ {step.line}")
        assert status == 0, f"$ {step.line}\n{printed}"
        assert step.missing(printed) is None, (
            f"$ {step.line}\n{printed}\nnot printed: {step.missing(printed)}"
        )
