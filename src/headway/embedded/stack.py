"""What `headway up` starts and `headway down` stops."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from headway.embedded import archive, jars
from headway.embedded.broker import Broker
from headway.embedded.postgres import Postgres
from headway.errors import ConfigError, UnavailableError
from headway.project import Project

__all__ = ["databases", "down", "kafka", "section", "servers", "up"]


def up(project: Project, say: Callable[[str], None]) -> str:
    """Start the broker of a project, or find it, and return `host:port`; its database too, where conf/ has one.

    Raises:
        ConfigError: There is no Java to start it with.
        UnavailableError: It did not start.
    """
    jars.resolve(say)
    broker = Broker(project.home / "kafka")
    if broker.servers is None:
        say("starting the Kafka broker")
    running = broker.start()
    if any(database.embedded for database in project.config.databases.values()):
        postgres = Postgres(project.home / "postgres")
        if postgres.dsn is None:
            say("starting Postgres")
        postgres.start()
    (project.home / "warehouse").mkdir(parents=True, exist_ok=True)
    archive.make_in_background()
    return running


def down(project: Project) -> bool:
    """Stop the servers of a project; tells whether any ran."""
    ran = [Broker(project.home / "kafka").stop(), Postgres(project.home / "postgres").stop()]
    return any(ran)


def servers(project: Project) -> str | None:
    """Return `host:port` of the running broker, None where it does not run."""
    return Broker(project.home / "kafka").servers


def kafka(project: Project) -> dict[str, Any]:
    """Return the section `kafka` of conf/, with the address of the embedded broker where that is meant.

    Raises:
        UnavailableError: It is meant and does not run.
    """
    servers = project.config.kafka.bootstrap_servers
    if servers == "embedded":
        running = Broker(project.home / "kafka").servers
        if running is None:
            raise UnavailableError(
                "the embedded Kafka broker does not run", hint="Start it with `headway up`."
            )
        servers = running
    return project.config.kafka.model_dump() | {"bootstrap_servers": servers}


def section(project: Project, name: str) -> dict[str, Any]:
    """Return a section of conf/ as a source or a sink gets it; `extensions.NAME` is NAME.

    Raises:
        ConfigError: There is no such section.
        UnavailableError: It means an embedded server that does not run.
    """
    if name == "kafka":
        return kafka(project)
    config = project.config
    found = getattr(config, name, None) if name in type(config).model_fields else config.extensions.get(name)
    if found is None:
        where = name if name in type(config).model_fields else f"extensions.{name}"
        raise ConfigError(
            f"conf/ has no section {where!r}, which this pipeline needs",
            hint="docs/reference/configuration.md lists the keys of each section.",
        )
    return dict(found)


def databases(project: Project, names: Collection[str]) -> dict[str, str]:
    """Return the connection strings of databases, by their names in conf/; names that it lacks are left out.

    Raises:
        UnavailableError: The embedded one is among them and does not run.
    """
    found = {}
    for name, database in project.config.databases.items():
        if name not in names:
            continue
        dsn = (
            Postgres(project.home / "postgres").dsn
            if database.dsn is None
            else database.dsn.get_secret_value()
        )
        _require_readable(name, dsn)
        if dsn is None:
            raise UnavailableError("the embedded Postgres does not run", hint="Start it with `headway up`.")
        found[name] = dsn
    return found


def _require_readable(name: str, dsn: str | None) -> None:
    """See that libpq can read a connection string; what is wrong with it may be the password, so it is not quoted."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(dsn or "")
    except ProgrammingError:
        raise ConfigError(
            f"databases.{name}.dsn in conf/ is no connection string that libpq reads",
            hint="Write postgresql://user:password@host:5432/name, with / ? # and % in the password percent-encoded.",
        ) from None
