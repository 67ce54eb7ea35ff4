"""Commands about a project and the machine: init, doctor, up, down, list."""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from headway import instant
from headway.cli.context import Context
from headway.embedded import archive, classes, jars, java, stack
from headway.errors import CallError, Error, UnavailableError

__all__ = ["doctor", "down", "init", "list_", "template", "up"]

_FOLDERS = ("pipelines", "modes", "quality", "conf", "airflow_dags", "notebooks")
_LEAST_DISK = 2 * 1024**3


def init(context: Context, folder: Path) -> None:
    """Copy the packaged template into a new folder."""
    if folder.exists() and any(folder.iterdir()):
        raise CallError(f"{folder} is not empty", hint="Name a new folder.")
    shutil.copytree(template(), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    context.give(
        {"project": str(folder.resolve())},
        [f"made {folder}", f"Next: cd {folder} && headway up && headway doctor && headway demo"],
    )


def doctor(context: Context) -> int:
    """Check everything that a run needs; the exit status is 0 if all is well."""
    rows = []
    for name, check in _checks(context):
        try:
            rows.append((name, "ok", check()))
        except Error as exc:
            rows.append((name, "FAILS", str(exc)))
        except OSError as exc:
            rows.append((name, "FAILS", f"{exc}"))
    failed = [name for name, state, _ in rows if state != "ok"]
    data: dict[str, object] = {"checks": [{"name": n, "ok": s == "ok", "says": t} for n, s, t in rows]}
    context.give(data, context.table("", ("check", "", "says"), rows))
    return 2 if failed else 0


def up(context: Context) -> None:
    """Start the embedded stack."""
    servers = stack.up(context.project, context.say)
    context.give({"kafka": servers}, [f"Kafka at {servers}; stop it with `headway down`"])


def down(context: Context) -> None:
    """Stop the embedded stack."""
    ran = stack.down(context.project)
    context.give({"stopped": ran}, ["stopped" if ran else "nothing was running"])


def list_(context: Context) -> None:
    """Show pipelines and modes."""
    project = context.project
    graph = project.graph
    pipelines = [
        (
            p.name,
            ", ".join(f"{k}={i.name if hasattr(i, 'name') else i.table}" for k, i in p.inputs.items()),
            p.emit,
            p.sink.table,
            f"{p.file.parent.name}/{p.file.name}:{p.line}",
        )
        for p in project.pipelines.values()
    ]
    modes = [
        (m.name, m.every or f"stream, every {m.trigger}", m.schedule or "") for m in project.modes.values()
    ]
    data: dict[str, object] = {
        "zone": project.config.zone,
        "pipelines": [
            {
                "name": p.name,
                "emit": p.emit,
                "table": p.sink.table,
                "where": p.where,
                "reads": graph.upstream(p.name),
                "has_sources": bool(p.sources),
                "closes_after": instant.spell(p.closes_after),
            }
            for p in project.pipelines.values()
        ],
        "modes": [
            {"name": m.name, "every": m.every, "trigger": m.trigger, "schedule": m.schedule}
            for m in project.modes.values()
        ],
    }
    lines = context.table("", ("pipeline", "inputs", "emit", "table", "defined at"), pipelines)
    context.give(data, [*lines, "", *context.table("", ("mode", "interval", "schedule"), modes)])


def template() -> Path:
    """Return the folder that a new project is copied from."""
    packaged = Path(__file__).parent.parent / "template"
    if packaged.is_dir():
        return packaged
    checkout = Path(__file__).parents[3]
    copy = Path(tempfile.mkdtemp(prefix="headway-template-"))
    for folder in _FOLDERS:
        if (checkout / folder).is_dir():
            shutil.copytree(checkout / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def _checks(context: Context) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "Python", lambda: sys.version.split()[0]
    yield "Java", lambda: f"{java.find()}, version {java.version(java.find())}"
    yield "Java libraries", lambda: str(jars.resolve(context.say))
    yield "Java classes", lambda: str(classes.jar())
    yield "class-data archive", _archive
    yield "configuration", lambda: f"{context.environment}: {context.project.config.kafka.bootstrap_servers}"
    yield "pipelines", lambda: f"{len(context.project.pipelines)} defined, {len(context.project.modes)} modes"
    yield "Kafka", lambda: _broker(context)
    for name in context.project.config.databases:
        yield f"database {name}", lambda name=name: _database(context, name)  # type: ignore[misc]
    yield "disk", lambda: _disk(context)


def _archive() -> str:
    if archive.file().exists():
        return "used: Spark starts quicker"
    archive.make_in_background()
    return "being made in the background; the next start is quicker"


def _broker(context: Context) -> str:
    given = context.project.config.kafka.bootstrap_servers
    servers = stack.servers(context.project) if given == "embedded" else given
    if servers is None:
        raise UnavailableError("the embedded broker does not run", hint="Start it with `headway up`.")
    for server in servers.split(","):
        host, _, port = server.rpartition(":")
        with socket.socket() as probe:
            probe.settimeout(3)
            if probe.connect_ex((host, int(port))):
                raise UnavailableError(
                    f"nothing listens at {server}",
                    hint="Start the broker, or mend kafka.bootstrap_servers in conf/.",
                )
    return servers


def _database(context: Context, name: str) -> str:
    from headway.sinks.postgres_table import server_version

    return f"Postgres {server_version(name, stack.databases(context.project, [name])[name])}"


def _disk(context: Context) -> str:
    free = shutil.disk_usage(context.root).free
    if free < _LEAST_DISK:
        raise UnavailableError(
            f"{free / 1024**3:.1f} GiB free", hint="Spark's shuffles and checkpoints need 2 GiB."
        )
    return f"{free / 1024**3:.0f} GiB free"
