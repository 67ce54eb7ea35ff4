"""Class-data archives: what lets a JVM with Spark start in half the time.

The archive is made once, in the background, by a JVM that is asked to dump the classes it
loaded (`-XX:ArchiveClassesAtExit`), and is keyed by the class path, the Java that made it and
what it was made to do.
See JEP 350, Dynamic CDS Archives.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

from headway.embedded import classes, jars, java

__all__ = ["class_path", "file", "make_in_background", "options"]

_STALE = 600.0


def class_path() -> str:
    """Return the jars that headway adds to Spark's class path, in a fixed order.

    The archive is valid for this exact list only, so the jars are named one by one.
    """
    given = sorted(jars.class_path("spark").glob("*.jar"))
    return ":".join(str(jar) for jar in (*given, classes.jar()))


def file() -> Path:
    """Return where the archive for this class path and this Java lies, whether or not it exists."""
    training = (Path(__file__).parents[1] / "cli" / "training.py").read_text()
    spark = jars.pyspark_jars()
    # The JVM refuses an archive of jars that were installed anew since.
    facts = "\n".join(
        [class_path(), f"{spark} {spark.stat().st_mtime_ns}", str(java.find().resolve()), training]
    )
    return jars.cache() / "archives" / f"{hashlib.sha256(facts.encode()).hexdigest()[:16]}.jsa"


def options() -> list[str]:
    """Return the JVM options that use the archive, none where there is none yet."""
    archive = file()
    if not archive.exists():
        return []
    return [f"-XX:SharedArchiveFile={archive}", "-Xlog:cds*=off:stderr", "-Xshare:auto"]


def make_in_background() -> bool:
    """Start making the archive where it is missing; tells whether that was needed."""
    archive = file()
    if archive.exists():
        return False
    archive.parent.mkdir(parents=True, exist_ok=True)
    marker = archive.with_suffix(".making")
    if marker.exists() and time.time() - marker.stat().st_mtime > _STALE:
        marker.unlink(missing_ok=True)  # whoever made it was killed
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    with Path(os.devnull).open("r+b") as null:
        subprocess.Popen(
            [sys.executable, "-m", "headway.cli.training", str(archive)],
            stdin=null,
            stdout=null,
            stderr=null,
            start_new_session=True,
        )
    return True
