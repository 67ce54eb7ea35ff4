"""headway's own Java classes, compiled once into the user's cache by the compiler that Spark has for its queries."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import zipfile
from importlib import resources
from pathlib import Path

from headway.embedded import jars, java
from headway.errors import UnavailableError

__all__ = ["FILE_SYSTEM", "jar"]

FILE_SYSTEM = {
    "spark.hadoop.fs.file.impl": "headway.LocalFiles",
    "spark.hadoop.fs.AbstractFileSystem.file.impl": "headway.LocalFilesContext",
}
"""Settings of Spark that make local files go through these classes; for a JVM that has the jar."""
_COMPILER = "org.codehaus.commons.compiler.samples.CompilerDemo"


def jar() -> Path:
    """Return the jar, which is made where it is missing; that takes two seconds, once.

    Raises:
        UnavailableError: The cache cannot be written, or the compiler has failed; its own words are in the message.
    """
    folder = resources.files("headway.embedded").joinpath("jvm")
    sources = {f.name: f.read_text() for f in sorted(folder.iterdir(), key=lambda f: f.name)}
    spark = [p.name for p in jars.pyspark_jars().glob("hadoop-client-api-*.jar")]
    key = hashlib.sha256("\n".join([*spark, *sources.values()]).encode()).hexdigest()[:16]
    made = jars.cache() / "classes" / key
    if not made.exists():
        try:
            _keep(made, sources)
        except OSError as exc:
            raise UnavailableError(
                f"headway's Java classes cannot be kept in {made.parent}: {exc.strerror}",
                hint="Point HEADWAY_CACHE at a folder that this user may write, or run `headway doctor` as one who may.",
            ) from exc
    return made / "headway.jar"


def _keep(made: Path, sources: dict[str, str]) -> None:
    made.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=made.parent))
    try:
        _make(work, sources)
        try:
            (work / "jar").rename(made)
        except OSError:
            if not made.exists():  # another process was first: its result is the same
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _make(work: Path, sources: dict[str, str]) -> None:
    for name in ("java", "classes", "jar"):
        (work / name).mkdir()
    for name, text in sources.items():
        (work / "java" / name).write_text(text)
    known = ":".join(map(str, sorted(jars.pyspark_jars().glob("*.jar"))))
    done = subprocess.run(
        [
            *(str(java.find()), "-cp", known, _COMPILER, "-classpath", known, "-d", str(work / "classes")),
            *(str(work / "java" / name) for name in sources),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    compiled = sorted((work / "classes").rglob("*.class"))
    if done.returncode or not compiled:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise UnavailableError(
            f"headway's Java classes could not be compiled:\n{tail}",
            hint="Is the installed pyspark the one that headway asks for?",
        )
    with zipfile.ZipFile(work / "jar" / "headway.jar", "w") as made:
        for file in compiled:
            made.write(file, file.relative_to(work / "classes"))
