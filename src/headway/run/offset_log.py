"""What Spark has pinned for a micro-batch before running it: offsets and watermark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from headway import instant
from headway.errors import TerminalError
from headway.offsets import Offsets
from headway.run.files import Files
from headway.source import Log

__all__ = ["BatchEntry", "read"]

_VERSION = "v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEntry:
    """One file of `offsets/` in a checkpoint."""

    watermark: int
    """Instant that Spark's stateful operators evict up to in this batch; the beginning where none is set."""
    ends: Mapping[str, Offsets]
    """Per source: where the batch ends in its log."""


def read(files: Files, checkpoint: str, batch_id: int, logs: Mapping[str, Log]) -> BatchEntry:
    """Read what was pinned for a batch.

    Raises:
        TerminalError: The file is missing or not of the version that Spark 4.1 writes.
    """
    path = f"{checkpoint}/offsets/{batch_id}"
    text = files.read(path)
    if text is None:
        raise TerminalError("the offset log has no entry for the batch that runs", where=path)
    version, metadata, *offsets = text.splitlines()
    if version != _VERSION:
        raise TerminalError(f"the offset log is of version {version!r}", where=path)
    watermark = int(json.loads(metadata)["batchWatermarkMs"]) * 1_000
    ends: dict[str, Offsets] = {}
    for line in offsets:
        if line == "-":
            continue
        for name, log in logs.items():
            parsed = log.parse_stream_offset(line)
            if parsed is not None:
                ends[name] = parsed
    return BatchEntry(watermark=watermark or instant.BEGINNING, ends=ends)
