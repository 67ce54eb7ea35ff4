"""The command that has a run go through spark-submit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Literal

from headway.cli.context import Context
from headway.errors import CallError
from headway.submission import Submission

__all__ = ["submit"]

_UNTESTED = "cluster deploy mode on YARN and Kubernetes has not been tried by headway's own tests"


def submit(
    context: Context,
    name: str,
    mode_name: str,
    start: str | None,
    end: str | None,
    *,
    until_caught_up: bool,
    complete: bool,
    as_backfill: bool,
    master: str | None,
    deploy_mode: str,
    resolves: bool,
    only_print: bool,
) -> int:
    """Print the command, or run it and return its exit status."""
    project = context.project
    project.pipeline(name)
    mode = project.mode(mode_name)
    if deploy_mode not in ("client", "cluster"):
        raise CallError(f"--deploy-mode {deploy_mode!r} is neither client nor cluster")
    chosen: Literal["client", "cluster"] = "client" if deploy_mode == "client" else "cluster"
    if as_backfill and (context.span(start, end) is None or not mode.is_bounded):
        raise CallError("--backfill takes --start and --end and a bounded mode")
    words = ["--json"] if context.as_json and not only_print else []
    words += ["--verbose"] if context.verbose else []
    words += ["backfill" if as_backfill else "run", name, "--mode", mode.name]
    for option, value in (("--start", start), ("--end", end)):
        words += [] if value is None else [option, value]
    words += ["--until-caught-up"] if until_caught_up else []
    words += ["--complete"] if complete else []
    submission = Submission(
        project=project,
        pipeline=name,
        command=words,
        master=master,
        deploy_mode=chosen,
        resolves=resolves,
    )
    if chosen == "cluster":
        context.say(f"headway: {_UNTESTED}")
    if only_print:
        context.give({"command": submission.spelled()}, [submission.printed()])
        return 0
    return _run(submission)


def _run(submission: Submission) -> int:
    """Run spark-submit to its end; a signal is passed on to the driver, which drains, and not to its JVM.

    spark-submit makes one stream of what a Python driver prints and what it says, so the former comes in a file.
    """
    with TemporaryDirectory(prefix="headway-submit-") as folder:
        told, printed = Path(folder) / "driver", Path(folder) / "printed"
        process = subprocess.Popen(
            submission.words(),
            env={
                **submission.environment(),
                "HEADWAY_DRIVER_FILE": str(told),
                "HEADWAY_PRINTED_FILE": str(printed),
            },
            stdout=sys.stderr.fileno(),
            start_new_session=True,
        )

        def end(_number: int, _frame: FrameType | None) -> None:
            if told.exists():
                os.kill(int(told.read_text()), signal.SIGTERM)
            else:
                process.terminate()

        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, end)
        status = process.wait()
        if printed.exists():
            sys.stdout.write(printed.read_text())
    return status if status >= 0 else 128 - status
