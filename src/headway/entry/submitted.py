"""The driver of a submitted run: the command line, within the JVM that spark-submit has started."""

from __future__ import annotations

import os
from pathlib import Path

from headway.cli.app import main

if __name__ == "__main__":
    told = os.environ.get("HEADWAY_DRIVER_FILE")
    if told is not None:  # `headway submit` passes signals on to this process
        new = Path(f"{told}.new")
        new.write_text(str(os.getpid()))
        new.replace(told)
    main()
