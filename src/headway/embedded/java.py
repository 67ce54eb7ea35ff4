"""The Java that Spark and the embedded broker run on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from headway.errors import ConfigError

__all__ = ["OLDEST", "find", "version"]

OLDEST = 17
"""Spark 4.1 needs Java 17 or later."""


def find() -> Path:
    """Return the `java` that Spark would start.

    Raises:
        ConfigError: There is none, or it is older than 17.
    """
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if found is None or not Path(found).exists():
        where = f"JAVA_HOME={home}" if home else "PATH"
        raise ConfigError(
            f"no java in {where}", hint=f"Install a JDK {OLDEST} or 21, or point JAVA_HOME at one."
        )
    major = version(Path(found))
    if major < OLDEST:
        raise ConfigError(
            f"{found} is Java {major}, and Spark needs {OLDEST} or later",
            hint=f"Install a JDK {OLDEST} or 21, or point JAVA_HOME at one.",
        )
    return Path(found)


def version(java: Path) -> int:
    """Return the major version that a `java` reports."""
    said = subprocess.run([str(java), "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found.group(1)) if found else 0
