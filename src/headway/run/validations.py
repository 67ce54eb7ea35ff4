"""The validation results of units, one JSON file for each, as Great Expectations reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from headway.errors import LostDataError
from headway.interval import Interval
from headway.quality.validation import unit_name
from headway.run.files import Files

__all__ = ["Validations"]


class Validations:
    """`<folder>/<pipeline>/result/<unit>.json`, and `<folder>/<pipeline>/sources/<source>/<unit>.json`.

    Of a unit that is judged again the newest judgement is kept.
    """

    def __init__(self, files: Files, folder: str) -> None:
        """Name the folder, on any Hadoop file system; it need not be there."""
        self._files = files
        self._folder = folder

    def write(self, pipeline: str, source: str | None, unit: Interval, result: dict[str, Any]) -> str:
        """Keep the result of a unit in place of the one that is there; return its file.

        Raises whatever the file system has to say against it.
        """
        subject = "result" if source is None else f"sources/{source}"
        file = f"{self._folder}/{pipeline}/{subject}/{unit_name(unit)}.json"
        self._files.write(file, json.dumps(result, indent=1, default=str))
        return file

    def read(self, pipeline: str) -> Iterator[dict[str, Any]]:
        """Return the results of a pipeline, of each subject in the order of its units.

        Raises:
            LostDataError: A file is no JSON, as a process has died while it wrote it.
        """
        home = f"{self._folder}/{pipeline}"
        sources = [f"{home}/sources/{name}" for name in self._files.names(f"{home}/sources")]
        for folder in (f"{home}/result", *sources):
            for name in self._files.names(folder):
                text = self._files.read(f"{folder}/{name}")
                try:
                    yield json.loads(text or "")
                except json.JSONDecodeError as error:
                    raise LostDataError(
                        f"no whole validation result: {error.msg}",
                        where=f"{folder}/{name}",
                        hint="Delete the file; the unit's verdict stands in the table's commits.",
                    ) from error
