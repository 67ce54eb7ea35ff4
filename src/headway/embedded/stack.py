"""What `headway up` starts and `headway down` stops."""

from __future__ import annotations

from collections.abc import Callable

from headway.embedded import archive, jars
from headway.embedded.broker import Broker
from headway.embedded.postgres import Postgres
from headway.errors import UnavailableError
from headway.project import Project

__all__ = ["databases", "down", "servers", "up"]


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


def databases(project: Project) -> dict[str, str]:
    """Return the connection string of each database that conf/ names.

    Raises:
        UnavailableError: The embedded one is named and does not run.
    """
    found = {}
    for name, database in project.config.databases.items():
        dsn = (
            Postgres(project.home / "postgres").dsn
            if database.dsn is None
            else database.dsn.get_secret_value()
        )
        if dsn is None:
            raise UnavailableError("the embedded Postgres does not run", hint="Start it with `headway up`.")
        found[name] = dsn
    return found
