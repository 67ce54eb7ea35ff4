"""A run as spark-submit is asked for it."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal
from zipfile import ZipFile, ZipInfo

from headway import config
from headway.embedded import jars
from headway.errors import CallError
from headway.project import Project
from headway.telemetry import spark_log

__all__ = ["Submission"]

_FOLDERS = ("pipelines", "modes", "quality", "conf")
_ARCHIVES = "spark.archives"
_JAVA_OPTIONS = "spark.driver.extraJavaOptions"
_AT_LAUNCH = (
    "spark.driver.",
    "spark.executor.",
    "spark.yarn.",
    "spark.kubernetes.",
    "spark.pyspark.",
    "spark.submit.",
    "spark.jars",
    "spark.files",
    "spark.archives",
    "spark.dynamicAllocation.",
    "spark.cores.",
    "spark.task.",
)
"""Settings that the driver's JVM or the cluster manager has to know before Python runs."""
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One call of spark-submit. Its words may hold references to the environment, so that secrets stay there."""

    project: Project
    pipeline: str
    command: Sequence[str]
    """The words of the command that runs, such as `run punctuality --mode continuous`."""
    master: str | None
    """None means that of conf/, else spark-submit's own."""
    deploy_mode: Literal["client", "cluster"]
    resolves: bool
    """Whether spark-submit resolves the jars by coordinates, instead of sending those that are here."""

    def __post_init__(self) -> None:
        if self.deploy_mode == "client":
            return
        master = self._master
        if master is None or master.startswith("local"):
            raise CallError(
                "a driver in cluster deploy mode needs a cluster manager",
                hint="Such as --master yarn, or --master k8s://https://host:6443.",
            )
        if master.startswith("spark://"):
            raise CallError(
                "a standalone cluster takes Python applications in client deploy mode only",
                hint="Leave --deploy-mode out, and keep this machine up for as long as the run lasts.",
            )
        local = list(self._on_this_machine())
        if local:
            raise CallError(
                f"in cluster deploy mode the driver runs elsewhere, and --env {self.project.environment} has on this "
                f"machine: {', '.join(local)}",
                hint="Use an environment like conf/cluster.yaml; checkpoints belong on an object store (state:).",
            )
        upload = "spark.kubernetes.file.upload.path"
        if master.startswith("k8s://") and upload not in self.project.config.spark.conf:
            raise CallError(
                f"Kubernetes takes files of this machine by way of {upload}",
                hint="Set it under spark.conf in conf/ to a folder of an object store.",
            )

    def spelled(self) -> list[str]:
        """Return the command's words, with `${NAME}` and `${NAME:-default}` where the environment counts."""
        is_client = self.deploy_mode == "client"
        words = [str(_home() / "bin" / "spark-submit"), "--name", f"headway {self.pipeline}"]
        words += [] if self._master is None else ["--master", self._master]
        words += ["--deploy-mode", self.deploy_mode, *self._jars()]
        settings = self._settings()
        if not is_client:
            archives = [f"{self._packed()}#project", settings.pop(_ARCHIVES, "")]
            words += ["--archives", ",".join(filter(None, archives))]
        for key, value in settings.items():
            words += ["--conf", f"{key}={value}"]
        where = str(self.project.root.resolve()) if is_client else "project"
        words.append(str(resources.files("headway.entry").joinpath("submitted.py")))
        return [*words, "--project", where, "--env", self.project.environment, *self.command]

    def printed(self) -> str:
        """Return the command for a shell."""
        home = [] if os.environ.get("SPARK_HOME") else [f"SPARK_HOME={shlex.quote(str(_home()))}"]
        words = [_quoted(word) for word in self.spelled()]
        lines = [" ".join([*home, words[0]])]
        for word in words[1:]:
            if lines[-1].startswith("--") and " " not in lines[-1] and not word.startswith("--"):
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        entry = next(n for n, line in enumerate(lines) if line.endswith(".py"))
        return " \\\n  ".join([*lines[:entry], " ".join(lines[entry:])])

    def words(self) -> list[str]:
        """Return the command with its references to the environment resolved."""
        return [_REFERENCE.sub(lambda f: os.environ.get(f[1], f[2] or ""), word) for word in self.spelled()]

    def environment(self) -> dict[str, str]:
        """Return what the command needs in its environment."""
        return {**os.environ, "SPARK_HOME": str(_home())}

    @property
    def _master(self) -> str | None:
        return self.master or self.project.config.spark.master

    def _jars(self) -> list[str]:
        folder = jars.class_path("spark")
        if not self.resolves:
            return ["--jars", ",".join(str(jar) for jar in sorted(folder.glob("*.jar")))]
        maven = jars.coordinates()
        named = ",".join(str(folder / name) for name in maven.overridden)
        left_out = ",".join(maven.left_out)
        return ["--packages", ",".join(maven.wanted), "--exclude-packages", left_out, "--jars", named]

    def _settings(self) -> dict[str, str]:
        """Return what the driver's JVM and the cluster manager have to know; all else the driver reads in conf/."""
        written = config.written(self.project.root / "conf", self.project.environment)
        given = (written.get("spark") or {}).get("conf") or {}
        settings = {
            key: _for_a_shell(str(value)) for key, value in given.items() if str(key).startswith(_AT_LAUNCH)
        }
        if self.deploy_mode == "cluster":
            return {**self._variables(written, settings), **settings}
        logs = written.get("logs") or {}
        # The driver reads conf/; this process may lack what it takes from the environment.
        told = config.Logs.model_validate({k: v for k, v in logs.items() if not config.references(v)})
        talk = spark_log.options(level=told.spark, format=told.format, is_verbose="--verbose" in self.command)
        settings[_JAVA_OPTIONS] = " ".join([*talk, settings.get(_JAVA_OPTIONS, "")]).strip()
        python = {"spark.pyspark.python": sys.executable, "spark.pyspark.driver.python": sys.executable}
        return {**python, **settings}

    def _variables(self, written: Mapping[str, object], settings: Mapping[str, str]) -> dict[str, str]:
        """Return settings that give the driver the environment variables that conf/ names."""
        is_kubernetes = (self._master or "").startswith("k8s://")
        prefix = "spark.kubernetes.driverEnv." if is_kubernetes else "spark.yarn.appMasterEnv."
        return {
            f"{prefix}{name}": f"${{{name}}}"
            for name, default in config.references(written).items()
            if (default is None or name in os.environ)
            and f"spark.kubernetes.driver.secretKeyRef.{name}" not in settings
        }

    def _on_this_machine(self) -> Iterator[str]:
        settings = self.project.config
        if "://" not in settings.state or settings.state.startswith("file:"):
            yield f"state: {settings.state}"
        if settings.kafka.bootstrap_servers == "embedded":
            yield "the embedded Kafka broker"
        yield from (f"the embedded catalog {name}" for name, c in settings.catalogs.items() if c.embedded)
        yield from (f"the embedded database {name}" for name, d in settings.databases.items() if d.embedded)

    def _packed(self) -> Path:
        """Return an archive of the project's folders, named by its content."""
        files = [
            file
            for folder in _FOLDERS
            for file in sorted((self.project.root / folder).rglob("*"))
            if file.is_file() and "__pycache__" not in file.parts
        ]
        names = [file.relative_to(self.project.root).as_posix() for file in files]
        digest = hashlib.sha256()
        for name, file in zip(names, files, strict=True):
            digest.update(f"{name}\0".encode() + file.read_bytes())
        packed = self.project.home.resolve() / "submitted" / f"{digest.hexdigest()[:16]}.zip"
        if not packed.exists():
            packed.parent.mkdir(parents=True, exist_ok=True)
            new = packed.with_suffix(f".{os.getpid()}")
            with ZipFile(new, "w") as archive:
                for name, file in zip(names, files, strict=True):
                    archive.writestr(ZipInfo(name), file.read_bytes())
            new.replace(packed)
        return packed


def _home() -> Path:
    """Return the Spark whose spark-submit is called: `$SPARK_HOME`, else the installed PySpark."""
    return Path(os.environ.get("SPARK_HOME") or jars.pyspark_jars().parent)


def _for_a_shell(value: str) -> str:
    """Write a value's references to the environment as a shell reads them."""
    for name, default in config.references(value).items():
        if default is not None:
            value = value.replace(f"${{{name}:{default}}}", f"${{{name}:-{default}}}")
    return value


def _quoted(word: str) -> str:
    if not _REFERENCE.search(word):
        return shlex.quote(word)
    return '"' + re.sub(r'["\\`]|\$(?!\{)', r"\\\g<0>", word) + '"'
