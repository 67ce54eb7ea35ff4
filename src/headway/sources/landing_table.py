"""Making messages durable, each once, in an Iceberg table that numbers them.

The table is a log: `offset` grows by one a message, `timestamp` is the moment of landing. A landing
is written to a branch of the lander's own, and `main` moves to it if nobody else has moved `main`: a
compare-and-set. Who loses it looks at what the others have landed, and numbers its messages anew.
So landers beside each other never number two messages alike, and one that was taken for dead,
while its messages were delivered again, finds them landed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headway import instant
from headway.catalog import create_namespace, escaped, java_table, quoted
from headway.compared_appends import PROPERTIES, ComparedAppends
from headway.errors import DefinitionError, TransientError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

__all__ = ["COLUMNS", "THROUGH", "LandingTable", "Message"]

COLUMNS = (
    "key binary, value binary, topic string, partition int, offset bigint, timestamp timestamp, "
    "headers array<struct<key: string, value: binary>>"
)
"""Of the raw records, as `headway.source.Log.read` returns them; the table has `message_id string` besides."""

THROUGH = "headway.landed-through"
"""Entry in the summary of a landing's snapshot: the offset below which everything has landed."""
_QUEUE = "headway.queue"
"""Property of the table: whose messages it holds."""
_REMEMBERED = 1_000_000
_RACES = 20


@dataclass(frozen=True, slots=True)
class Message:
    """What is kept of a message."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    message_id: str | None


class LandingTable:
    """One landing table, as one process fills it; not for several threads at once."""

    def __init__(self, spark: SparkSession, name: str, topic: str) -> None:
        """Open a table, made where it is missing.

        Args:
            spark: The session.
            name: Its full name.
            topic: What the records say that they come from.
        """
        self.name = name
        self._spark = spark
        self._topic = topic
        self._prepare()
        self._appends = ComparedAppends(spark, name, THROUGH)
        self._known: dict[str, None] = {}
        self._seen: int | None = None
        self._end = 0
        self._arrival = instant.BEGINNING

    def table(self) -> Any:
        """Return Iceberg's own handle, brought up to date."""
        return self._appends.table()

    def through(self, table: Any, snapshot: int) -> int:
        """Return the offset below which everything is landed at a snapshot of a handle that knows it."""
        landed = self._appends.reached(table, snapshot)
        if landed is not None:
            return int(landed)
        last = (
            self._spark.read.option("versionAsOf", snapshot).table(self.name).agg({"offset": "max"}).first()
        )
        return 0 if last is None or last[0] is None else int(last[0]) + 1

    def land(self, messages: Sequence[Message]) -> int:
        """Make messages durable that have not landed yet, and return how many those were.

        Raises:
            TransientError: Other landers kept winning; nothing of these messages was landed.
        """
        for _ in range(_RACES):
            visible = self._catch_up()
            fresh = self._fresh(messages)
            if not fresh or self._landed(fresh, visible):
                return len(fresh)
        raise TransientError(
            f"{self.name} was changed by other landers again and again", hint="Run the same command again."
        )

    def close(self) -> None:
        """Let go of the lander's branch."""
        self._appends.close()

    def _prepare(self) -> None:
        if not self._spark.catalog.tableExists(self.name):
            create_namespace(self._spark, self.name)
            given = {**PROPERTIES, "write.distribution-mode": "none", _QUEUE: escaped(self._topic)}
            properties = ", ".join(f"'{k}' = '{v}'" for k, v in given.items())
            self._spark.sql(
                f"CREATE TABLE IF NOT EXISTS {quoted(self._spark, self.name)} ({COLUMNS}, message_id string) "
                f"USING iceberg PARTITIONED BY (days(timestamp)) TBLPROPERTIES ({properties})"
            )
        table = java_table(self._spark, self.name)
        queue = table.properties().get(_QUEUE)
        if queue != self._topic:
            raise DefinitionError(
                f"the landing table {self.name} belongs to the queue {queue!r}, not to {self._topic!r}",
                hint="Give each queue a landing table of its own.",
            )

    def _catch_up(self) -> int:
        """Learn what others have landed, and return the visible snapshot."""
        visible = self._appends.visible()
        if visible != self._seen:
            end = self.through(self.table(), visible)
            since = max(end - _REMEMBERED, self._end if self._seen is not None else 0)
            if since < end:
                rows = self._spark.read.option("versionAsOf", visible).table(self.name)
                landed = rows.filter(f"offset >= {since} AND message_id IS NOT NULL").select("message_id")
                self._remember([str(row[0]) for row in landed.toLocalIterator()])
            self._seen, self._end = visible, end
        return visible

    def _fresh(self, messages: Sequence[Message]) -> list[Message]:
        fresh, within = [], set[str]()
        for message in messages:
            if message.message_id is not None:
                if message.message_id in self._known or message.message_id in within:
                    continue
                within.add(message.message_id)
            fresh.append(message)
        return fresh

    def _landed(self, messages: Sequence[Message], visible: int) -> bool:
        """Write messages behind what is visible, and show them; False, and nothing has changed, if that has moved."""
        end = self._end + len(messages)
        # A clock that is set back must not date a message before the one that it follows.
        self._arrival = max(time.time_ns() // 1_000, self._arrival)
        frame = self._spark.createDataFrame(self._arrow(messages)).coalesce(1)
        head = self._appends.append(frame, visible, str(end))
        if head is None:
            return False
        self._seen, self._end = head, end
        self._remember([m.message_id for m in messages if m.message_id is not None])
        return True

    def _remember(self, ids: Sequence[str]) -> None:
        self._known.update(dict.fromkeys(ids))
        for old in list(self._known)[: max(0, len(self._known) - _REMEMBERED)]:
            del self._known[old]

    def _arrow(self, messages: Sequence[Message]) -> pa.Table:
        import pyarrow as pa

        count = len(messages)
        header = pa.struct([("key", pa.string()), ("value", pa.binary())])
        headers = [[{"key": k, "value": v} for k, v in m.headers] for m in messages]
        return pa.table(
            {
                "key": pa.array([m.key for m in messages], pa.binary()),
                "value": pa.array([m.value for m in messages], pa.binary()),
                "topic": pa.array([self._topic] * count, pa.string()),
                "partition": pa.array([0] * count, pa.int32()),
                "offset": pa.array(range(self._end, self._end + count), pa.int64()),
                "timestamp": pa.array([self._arrival] * count, pa.timestamp("us", "UTC")),
                "headers": pa.array(headers, pa.list_(header)),
                "message_id": pa.array([m.message_id for m in messages], pa.string()),
            }
        )
