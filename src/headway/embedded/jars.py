"""The pinned jars, resolved once into the user's cache with the Ivy that PySpark ships."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

from headway.embedded import java
from headway.errors import UnavailableError

__all__ = ["Coordinates", "cache", "class_path", "coordinates", "pyspark_jars", "resolve"]


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Maven coordinates of Spark's jars, as spark-submit takes them."""

    wanted: tuple[str, ...]
    """`group:artifact:version` of each jar whose closure is wanted."""
    left_out: tuple[str, ...]
    """`group:artifact` of what that closure must not bring."""
    overridden: tuple[str, ...]
    """Names of jars of a version other than the closure's, which coordinates cannot say."""


def cache() -> Path:
    """Return the folder for what can be made again: `$HEADWAY_CACHE`, else the user's cache."""
    root = os.environ.get("HEADWAY_CACHE") or Path(
        os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "headway"
    )
    return Path(root)


def pyspark_jars() -> Path:
    """Return the folder of the jars that the installed PySpark brings, without importing it."""
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise UnavailableError("pyspark is not installed", hint="pip install headway")
    return Path(spec.origin).parent / "jars"


def class_path(configuration: str, say: Callable[[str], None] = lambda _: None) -> Path:
    """Return the folder with the jars of one configuration of ivy.xml, resolving them if missing."""
    return resolve(say) / configuration


def coordinates() -> Coordinates:
    """Return what ivy.xml says of Spark's jars, for whoever resolves them elsewhere."""
    text = resources.files("headway.embedded").joinpath("ivy.xml").read_text()
    module = ET.fromstring(text)  # noqa: S314  # our own file
    overrides = [o.attrib for o in module.iter("override")]
    return Coordinates(
        wanted=tuple(
            "{org}:{name}:{rev}".format_map(d.attrib)
            for d in module.iter("dependency")
            if d.attrib["conf"].startswith("spark")
        ),
        left_out=(
            *(f"{e.attrib['org']}:*" for e in module.iter("exclude")),
            *(f"{o['org']}:{o['module']}" for o in overrides),
        ),
        overridden=tuple(f"{o['module']}-{o['rev']}.jar" for o in overrides),
    )


def resolve(say: Callable[[str], None] = lambda _: None) -> Path:
    """Resolve ivy.xml into a folder named by its content; a second call needs no network.

    Raises:
        UnavailableError: The resolution failed; its own words are in the message.
    """
    ivy = resources.files("headway.embedded").joinpath("ivy.xml").read_bytes()
    folder = cache() / "jars" / hashlib.sha256(ivy).hexdigest()[:16]
    if folder.exists():
        return folder
    say("resolving the pinned Java libraries (about 120 MB, once)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        (work / "ivy.xml").write_bytes(ivy)
        pattern = f"{work}/jars/[conf]/[artifact]-[revision](-[classifier]).[ext]"
        done = subprocess.run(
            [
                *(str(java.find()), "-cp", f"{pyspark_jars()}/*", "org.apache.ivy.Main"),
                *("-ivy", str(work / "ivy.xml"), "-confs", "spark", "broker"),
                *("-retrieve", pattern, "-types", "jar", "bundle"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
            raise UnavailableError(
                f"the pinned Java libraries could not be resolved:\n{tail}",
                hint="Maven Central, or a mirror set in Ivy's own settings, has to be reachable once.",
            )
        try:
            (work / "jars").rename(folder)
        except OSError:
            if not folder.exists():  # another process was first: its result is the same
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder
