"""What Airflow needs to know of a project's definitions, read without Spark.

A definition imports Spark's functions, and Airflow's environment has none. So the project's own
`headway list` reads it, once for each content of the project's folders.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from headway import instant
from headway.embedded.jars import cache
from headway.errors import CallError, ConfigError, UnavailableError, suggestion
from headway.mode import Mode

__all__ = ["Defined", "Definitions", "read"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Defined:
    """A pipeline, as a scheduler sees it."""

    name: str
    table: str
    """The table of record, by which data are waited for."""
    reads: tuple[str, ...]
    """The pipelines of the project whose tables it reads."""
    has_sources: bool
    """Whether it reads a log as well."""
    closes_after: int
    """About how long after its end an interval is closed, in microseconds."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """The pipelines and modes of a project, and the zone of its days."""

    zone: str
    pipelines: Mapping[str, Defined]
    modes: Mapping[str, Mode]

    def pipeline(self, name: str) -> Defined:
        """Return a pipeline; raises `CallError` with a suggestion where there is none."""
        if name not in self.pipelines:
            raise CallError(f"no pipeline {name!r}", hint=suggestion(name, self.pipelines))
        return self.pipelines[name]

    def mode(self, name: str) -> Mode:
        """Return a mode; raises `CallError` with a suggestion where there is none."""
        if name not in self.modes:
            raise CallError(f"no mode {name!r}", hint=suggestion(name, self.modes))
        return self.modes[name]


def read(command: Sequence[str], project: Path) -> Definitions:
    """Return the definitions of a project.

    They are kept in headway's cache, by the content of pipelines/, modes/ and conf/ and by the
    command. What else a definition imports is not looked at.

    Args:
        command: `headway` with the options that stand before a command.
        project: The project's folder.

    Raises:
        ConfigError: A definition or the configuration is wrong, with `headway list`'s own words.
        UnavailableError: The cache cannot be written.
    """
    kept = cache() / "definitions" / f"{_digest(command, project)}.json"
    if not kept.exists():
        _keep(_listed(command), kept)
    return _definitions(json.loads(kept.read_text()))


def _digest(command: Sequence[str], project: Path) -> str:
    facts = hashlib.sha256("\0".join(command).encode())
    facts.update(str(Path(command[0]).stat().st_mtime_ns).encode())
    for folder, kind in (("pipelines", "*.py"), ("modes", "*.py"), ("conf", "*.yaml")):
        for file in sorted((project / folder).glob(kind)):
            content = file.read_bytes()
            facts.update(f"{folder}/{file.name} {len(content)}\0".encode() + content)
    return facts.hexdigest()[:16]


def _listed(command: Sequence[str]) -> str:
    done = subprocess.run([*command, "--json", "list"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigError(f"`{' '.join(command)} list` failed:\n{done.stderr.strip()}")
    return done.stdout


def _keep(text: str, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=file.parent, delete=False) as new:
            new.write(text)
        Path(new.name).replace(file)
    except OSError as exc:
        raise UnavailableError(
            f"what `headway list` says cannot be kept: {exc}",
            hint="Point HEADWAY_CACHE at a folder that Airflow may write.",
        ) from exc


def _definitions(listed: Mapping[str, Any]) -> Definitions:
    pipelines = [
        Defined(
            name=p["name"],
            table=p["table"],
            reads=tuple(p["reads"]),
            has_sources=p["has_sources"],
            closes_after=instant.duration(p["closes_after"]),
        )
        for p in listed["pipelines"]
    ]
    modes = [Mode(**m) for m in listed["modes"]]
    return Definitions(listed["zone"], {p.name: p for p in pipelines}, {m.name: m for m in modes})
