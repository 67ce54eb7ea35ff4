"""A real RabbitMQ broker for tests, on loopback: the `rabbitmq-server` of the system, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pika
from pika.exceptions import AMQPError

from headway.errors import UnavailableError
from headway.process import Process, free_port

__all__ = ["RabbitServer", "installed"]

_SCRIPTS = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/homebrew/sbin/rabbitmq-server")
"""Before the one on the path, which on Debian wants to be the user `rabbitmq`."""


def installed() -> str | None:
    """Return the path of the system's `rabbitmq-server`; None where there is none."""
    return next((s for s in _SCRIPTS if Path(s).exists()), None) or shutil.which("rabbitmq-server")


class RabbitServer:
    """One broker with a node name, ports and a folder of its own; its messages survive `kill`."""

    def __init__(self, folder: Path) -> None:
        """Choose ports; nothing runs yet."""
        self._folder = folder
        self._port = free_port()
        self._distribution = free_port()
        self._epmd = free_port()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Return the AMQP URL; the user `guest` is the server's own, for loopback only."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}/%2F"

    def start(self) -> str:
        """Start the broker on what its folder holds, wait until it answers, and return its URL.

        Raises:
            UnavailableError: It is not installed, or does not start.
        """
        server = installed()
        if server is None:
            raise UnavailableError(
                "rabbitmq-server is not installed", hint="Debian: apt-get install rabbitmq-server."
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.1 = 127.0.0.1:{self._port}\nlog.file.level = warning\n")
        plugins = self._folder / "enabled_plugins"
        plugins.write_text("[].\n")
        log = self._folder / "server.log"
        self._process = Process.start(
            [server],
            log=log,
            folder=self._folder,
            environment={
                "HOME": str(self._folder),
                "RABBITMQ_NODENAME": f"headway_{self._port}@localhost",
                "RABBITMQ_CONFIG_FILE": str(config),
                "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
                "RABBITMQ_LOG_BASE": str(self._folder / "log"),
                "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
                "RABBITMQ_PID_FILE": str(self._folder / "pid"),
                "RABBITMQ_DIST_PORT": str(self._distribution),
                "ERL_EPMD_PORT": str(self._epmd),
                "ERL_EPMD_ADDRESS": "127.0.0.1",
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            },
        )
        self._process.wait_until(self._answers, name="RabbitMQ", log=log)
        return self.url

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it, and the name server that it has started."""
        for sign, patience in ((signal.SIGTERM, 30.0), (signal.SIGKILL, 10.0)):
            deadline = time.monotonic() + patience
            if self._is_left(sign):
                while self._is_left() and time.monotonic() < deadline:
                    time.sleep(0.1)
        epmd = shutil.which("epmd")
        if epmd is not None:
            Process.start(
                [epmd, "-port", str(self._epmd), "-kill"], log=self._folder / "epmd.log", environment={}
            )

    def _is_left(self, sign: int = 0) -> bool:
        """Send a signal to the server and the script that has started it; tells whether either was there."""
        if self._process is None:
            return False
        with suppress(ChildProcessError):
            os.waitpid(-self._process.pid, os.WNOHANG)
        try:
            os.killpg(self._process.pid, sign)
        except ProcessLookupError:
            return False
        return True

    def publish(self, queue: str, bodies: Sequence[bytes], *, ids: Sequence[str] | None = None) -> None:
        """Declare a durable queue and put persistent messages into it, confirmed by the broker.

        Args:
            queue: Its name.
            bodies: What the messages hold.
            ids: Their `message_id`; none has one without.
        """
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            channel.queue_declare(queue, durable=True)
            channel.tx_select()
            for number, body in enumerate(bodies):
                given = None if ids is None else ids[number]
                properties = pika.BasicProperties(delivery_mode=2, message_id=given)
                channel.basic_publish("", queue, body, properties)
            channel.tx_commit()

    def waiting(self, queue: str) -> int:
        """Return how many messages a queue holds that no consumer has been given."""
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            return int(connection.channel().queue_declare(queue, passive=True).method.message_count)

    def _answers(self) -> bool:
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except (AMQPError, OSError):
            return False
        return True
