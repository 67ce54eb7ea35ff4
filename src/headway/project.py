"""A project folder: its pipelines and modes, loaded by path, and its configuration."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

from headway import config as configuration
from headway.errors import CallError, ConfigError, DefinitionError, Error, suggestion
from headway.graph import Graph
from headway.mode import Mode
from headway.pipeline import Pipeline

__all__ = ["Project"]


@dataclass(frozen=True)
class Project:
    """A folder with pipelines/, modes/ and conf/. Reading it starts no JVM."""

    root: Path
    environment: str

    def __post_init__(self) -> None:
        if not (self.root / "pipelines").is_dir():
            raise CallError(
                f"{self.root} is no headway project: it has no folder pipelines/",
                hint="Name one with --project, or make one with `headway init DIR`.",
            )

    @cached_property
    def config(self) -> configuration.Config:
        """The merged configuration of the environment."""
        return configuration.load(self.root / "conf", self.environment)

    @cached_property
    def pipelines(self) -> dict[str, Pipeline]:
        """Every pipeline that a file in pipelines/ defines, by name.

        Raises:
            DefinitionError: A file cannot be loaded, two pipelines share a name, or pipelines read each
                other's tables in a circle.
        """
        found: dict[str, Pipeline] = {}
        for file in sorted((self.root / "pipelines").glob("*.py")):
            for defined in _instances(_module(file), Pipeline):
                if defined.name in found and found[defined.name] is not defined:
                    raise DefinitionError(
                        f"a pipeline named {defined.name!r} is already defined at {found[defined.name].where}",
                        where=defined.where,
                    )
                found[defined.name] = defined
        Graph(found)
        return found

    @property
    def graph(self) -> Graph:
        """Which pipeline reads the table of which other."""
        return Graph(self.pipelines)

    @cached_property
    def modes(self) -> dict[str, Mode]:
        """Every mode that a file in modes/ binds to `MODE`, by name."""
        found: dict[str, Mode] = {}
        for file in sorted((self.root / "modes").glob("*.py")):
            mode = getattr(_module(file), "MODE", None)
            if not isinstance(mode, Mode):
                raise ConfigError("the file binds no Mode to the name MODE", where=str(file))
            found[mode.name] = mode
        return found

    def pipeline(self, name: str) -> Pipeline:
        """Return one pipeline; raises `CallError` with a suggestion where there is none."""
        if name not in self.pipelines:
            raise CallError(
                f"no pipeline {name!r} in {self.root / 'pipelines'}", hint=suggestion(name, self.pipelines)
            )
        return self.pipelines[name]

    def mode(self, name: str) -> Mode:
        """Return one mode; raises `CallError` with a suggestion where there is none."""
        if name not in self.modes:
            raise CallError(f"no mode {name!r} in {self.root / 'modes'}", hint=suggestion(name, self.modes))
        return self.modes[name]

    @property
    def home(self) -> Path:
        """Folder for what headway itself keeps on this machine: the embedded stack and logs."""
        return self.root / ".headway"

    @property
    def state(self) -> str:
        """Folder of checkpoints, as a path or URI."""
        return self._place(self.config.state)

    @property
    def delta(self) -> str:
        """Folder of Delta tables, as a path or URI."""
        return self._place(self.config.delta.root)

    def _place(self, folder: str) -> str:
        return folder if "://" in folder else str((self.root / folder).resolve())


def _module(file: Path) -> ModuleType:
    """Load a file under a name that no other module can have, once per content of the path."""
    name = f"_headway_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise DefinitionError("the file cannot be loaded", where=str(file))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Error as exc:
        if exc.where is None:
            raise type(exc)(exc.what, where=str(file), hint=exc.hint) from exc
        raise
    except Exception as exc:
        del sys.modules[name]
        line = _line_in(file, exc)
        raise DefinitionError(
            f"{type(exc).__name__}: {exc}", where=f"{file}:{line}" if line else str(file)
        ) from exc
    return module


def _line_in(file: Path, exc: Exception) -> int | None:
    if isinstance(exc, SyntaxError) and exc.lineno:
        return exc.lineno
    line, at = None, exc.__traceback__
    while at is not None:
        if Path(at.tb_frame.f_code.co_filename) == file:
            line = at.tb_lineno
        at = at.tb_next
    return line


def _instances(module: ModuleType, kind: type[Pipeline]) -> Iterator[Pipeline]:
    for value in vars(module).values():
        if isinstance(value, kind):
            yield value
