"""What `headway up` starts and `headway down` stops."""

from __future__ import annotations

from collections.abc import Callable

from headway.embedded import archive, jars
from headway.embedded.broker import Broker
from headway.project import Project

__all__ = ["down", "servers", "up"]


def up(project: Project, say: Callable[[str], None]) -> str:
    """Start the broker of a project, or find it, and return `host:port`.

    Raises:
        ConfigError: There is no Java to start it with.
        UnavailableError: It did not start.
    """
    jars.resolve(say)
    broker = Broker(project.home / "kafka")
    if broker.servers is None:
        say("starting the Kafka broker")
    running = broker.start()
    (project.home / "warehouse").mkdir(parents=True, exist_ok=True)
    archive.make_in_background()
    return running


def down(project: Project) -> bool:
    """Stop the broker of a project; tells whether one ran."""
    return Broker(project.home / "kafka").stop()


def servers(project: Project) -> str | None:
    """Return `host:port` of the running broker, None where it does not run."""
    return Broker(project.home / "kafka").servers
