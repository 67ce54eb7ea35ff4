"""What becomes of verdicts: kept for people, told to whom conf/ names."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headway.config import Quality
from headway.quality.hiding import hidden
from headway.quality.masking import masked
from headway.quality.validation import validation_result
from headway.quality.verdict import Verdict
from headway.run.files import Files
from headway.run.judged import Judged
from headway.run.validations import Validations

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Verdicts"]


class Verdicts:
    """Where the verdicts of one pipeline's units go."""

    def __init__(
        self,
        spark: SparkSession,
        pipeline: str,
        *,
        state: str,
        quality: Quality | None = None,
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Say where.

        Args:
            spark: Reaches the file systems.
            pipeline: Its name.
            state: Folder of the project's state; the results go below it.
            quality: What is masked and who is told. Without it nothing is kept and nobody is told.
            say: Tells the person who runs the pipeline.
            clock: Seconds since the epoch.
        """
        self._pipeline = pipeline
        self._quality = quality or Quality()
        self._kept = None if quality is None else Validations(Files(spark), f"{state}/quality")
        self._say = say
        self._clock = clock

    def masked(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return sample rows as people may see them."""
        return [masked(dict(row), self._quality.mask) for row in rows]

    def hidden(self, verdict: Verdict) -> Verdict:
        """Return a verdict as people may see it."""
        return replace(verdict, results=[hidden(result, self._quality.mask) for result in verdict.results])

    def keep(self, found: Sequence[Judged]) -> None:
        """Keep what was said of units that were judged together, and tell whom conf/ names of those that failed.

        A result that cannot be written, and an action that does not succeed, are said, and the run goes on: the
        verdict itself stands in the commit.
        """
        if self._kept is None:
            return
        failed = []
        for judged in found:
            result = self._result(judged)
            self._write(self._kept, judged, result)
            if not judged.is_met:
                failed.append(result)
        if failed and self._quality.actions:
            self._tell(failed)

    def _tell(self, failed: Sequence[Mapping[str, Any]]) -> None:
        # Imports Great Expectations, which takes seconds.
        from headway.quality import actions

        for fault in actions.fire(
            self._quality.actions, failed, pipeline=self._pipeline, telemetry=self._quality.telemetry
        ):
            self._say(fault)

    def _result(self, judged: Judged) -> dict[str, Any]:
        return validation_result(
            judged.verdict,
            judged.suite,
            pipeline=self._pipeline,
            source=judged.source,
            unit=judged.unit,
            judged_at=int(self._clock() * 1_000_000),
            samples=judged.samples,
        )

    def _write(self, kept: Validations, judged: Judged, result: dict[str, Any]) -> None:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        try:
            kept.write(self._pipeline, judged.source, judged.unit, result)
        except (Py4JError, PySparkException) as exc:
            java = getattr(exc, "java_exception", None)
            why = (str(java) if java is not None else str(exc)).strip().splitlines()[0]
            self._say(f"the validation result of {judged.subject}, {judged.unit}, was not written: {why}")
