"""Metrics of runs that end quickly, as a file for node_exporter's textfile collector.

A counter goes on where the run before it has left it: the file holds what was counted by all runs.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headway.telemetry.metrics import METRICS, Metrics

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.samples import Sample

__all__ = ["write"]

_ADDED = ("counter", "histogram")
_ORDER = {definition.name: number for number, definition in enumerate(METRICS)}
_Series = tuple[str, tuple[tuple[str, str], ...]]


def write(folder: Path, name: str, metrics: Metrics) -> Path:
    """Add a run's metrics to the file `name`.prom in a folder, and return the file.

    Called once for each run, at its end. The file is replaced in one step: a reader sees the old one or
    the new one. Runs beside each other take turns.

    Raises:
        OSError: The folder cannot be made or written.
        ValueError: There is a file of that name that holds no metrics.
    """
    from prometheus_client import write_to_textfile

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.prom"
    with _locked(folder / f".{name}.lock"):
        before = _read(file) if file.exists() else {}
        write_to_textfile(str(file), _Together(before, metrics))
    return file


def _read(file: Path) -> dict[str, Metric]:
    from prometheus_client.parser import text_string_to_metric_families

    try:
        return {metric.name: metric for metric in text_string_to_metric_families(file.read_text())}
    except ValueError as exc:
        raise ValueError(f"{file} holds no metrics; remove it") from exc


class _Together:
    """What runs before have counted, and what this one has."""

    def __init__(self, before: Mapping[str, Metric], metrics: Metrics) -> None:
        self._before = before
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        now = {metric.name: metric for metric in self._metrics.collect()}
        for name in sorted({**self._before, **now}, key=_place):
            yield _joined(self._before.get(name), now.get(name))


def _place(name: str) -> int:
    """Return where a metric stands; one that headway no longer has comes last."""
    return _ORDER.get(name, _ORDER.get(f"{name}_total", len(_ORDER)))


def _joined(before: Metric | None, now: Metric | None) -> Metric:
    """Return counts added up, and gauges as they are now."""
    from prometheus_client import Metric

    given = now if now is not None else before
    assert given is not None
    joined = Metric(given.name, given.documentation, given.type)
    series: dict[_Series, Sample] = {}
    for sample in (sample for part in (before, now) if part is not None for sample in part.samples):
        key = (sample.name, tuple(sorted(sample.labels.items())))
        known = series.get(key)
        if known is not None and given.type in _ADDED:
            sample = sample._replace(value=known.value + sample.value)  # noqa: PLW2901
        series[key] = sample
    joined.samples = list(series.values())
    return joined


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
