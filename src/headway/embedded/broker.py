"""A real Kafka broker (KRaft, one JVM) on loopback."""

from __future__ import annotations

import base64
import socket
import subprocess
import uuid
from pathlib import Path

from headway.embedded import jars, java
from headway.errors import UnavailableError
from headway.process import Process, free_port

__all__ = ["Broker", "cluster_id"]

_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
message.max.bytes=16777216
log.retention.check.interval.ms=60000
"""
_LOGGING = """\
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d{{ISO8601}} %p %c: %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
""".replace("{{", "{").replace("}}", "}")


class Broker:
    """The broker of one folder. Several folders have brokers of their own, on other ports."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = folder / "process.json"
        self._settings = folder / "server.properties"
        self.log = folder / "broker.log"

    @property
    def servers(self) -> str | None:
        """`host:port` of the running broker; None where it does not run."""
        if Process.load(self._process) is None:
            return None
        return f"127.0.0.1:{self._port()}"

    def start(self) -> str:
        """Start the broker, or find the one that runs, and return `host:port`.

        Raises:
            UnavailableError: It did not start; its last words are in the message.
        """
        running = self.servers
        if running is not None:
            return running
        self._configure()
        classes = f"{jars.class_path('broker')}/*"
        if not (self._folder / "data" / "meta.properties").exists():
            self._format(classes)
        process = Process.start(
            [
                *(str(java.find()), "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                *(f"-Dlog4j2.configurationFile={self._folder}/log4j2.xml", "-cp", classes),
                *("kafka.Kafka", str(self._settings)),
            ],
            log=self.log,
            environment={},
        )
        process.save(self._process)
        port = self._port()
        process.wait_until(lambda: _answers(port), name="the Kafka broker", log=self.log)
        return f"127.0.0.1:{port}"

    def stop(self) -> bool:
        """Stop the broker; tells whether one ran."""
        process = Process.load(self._process)
        if process is None:
            return False
        process.stop()
        self._process.unlink(missing_ok=True)
        return True

    def _configure(self) -> None:
        """Write the settings anew, or where the ports of the last start are free, for a folder that was moved."""
        if self._settings.exists() and all(_is_free(port) for port in self._ports()):
            data = f"log.dirs={self._folder / 'data'}"
            lines = self._settings.read_text().splitlines()
            lines = [data if line.startswith("log.dirs=") else line for line in lines]
            self._settings.write_text("\n".join(lines) + "\n")
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "log4j2.xml").write_text(_LOGGING)
        self._settings.write_text(
            _SETTINGS.format(port=free_port(), controller=free_port(), data=self._folder / "data")
        )

    def _format(self, classes: str) -> None:
        done = subprocess.run(
            [
                *(str(java.find()), "-cp", classes, "kafka.tools.StorageTool", "format"),
                *("-t", cluster_id(), "-c", str(self._settings)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UnavailableError(
                f"the broker's storage could not be formatted:\n{done.stderr.strip()[-2000:]}",
                where=str(self._folder),
            )

    def _ports(self) -> tuple[int, int]:
        lines = dict(line.split("=", 1) for line in self._settings.read_text().splitlines() if "=" in line)
        return (
            int(lines["advertised.listeners"].rpartition(":")[2]),
            int(lines["controller.quorum.voters"].rpartition(":")[2]),
        )

    def _port(self) -> int:
        return self._ports()[0]


def cluster_id() -> str:
    """Return a new id as Kafka writes them: 16 bytes in URL-safe base64, never with a dash in front.

    The storage tool would take such a one for an option.
    """
    raw = uuid.uuid4().bytes
    return base64.urlsafe_b64encode(bytes([raw[0] & 0x7F]) + raw[1:]).rstrip(b"=").decode()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
