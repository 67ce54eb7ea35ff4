"""The driver of a submitted run: the command line, within the JVM that spark-submit has started."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from pathlib import Path

from headway.cli.app import main

if __name__ == "__main__":
    told = os.environ.get("HEADWAY_DRIVER_FILE")
    if told is not None:  # `headway submit` passes signals on to this process
        new = Path(f"{told}.new")
        new.write_text(str(os.getpid()))
        new.replace(told)
    printed = os.environ.get("HEADWAY_PRINTED_FILE")
    if printed is None:
        main()
    else:  # what is printed, apart from what is said
        with Path(printed).open("w", encoding="utf-8", buffering=1) as out, redirect_stdout(out):
            main()
