"""Small files on any Hadoop file system: checkpoints, signs of life, requests to stop, validation results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Files"]


class Files:
    """Reads and writes small text files by path or URI, through the JVM's file systems."""

    def __init__(self, spark: SparkSession) -> None:
        jvm, context = spark._jvm, spark._jsc
        assert jvm is not None
        # Looked up once: each step through a Java package asks the JVM.
        self._path: Any = jvm.org.apache.hadoop.fs.Path
        self._text_of: Any = jvm.org.apache.commons.io.IOUtils.toString
        self._settings: Any = context.hadoopConfiguration()
        self._systems: dict[str, Any] = {}

    def exists(self, path: str) -> bool:
        """Tell whether a file or folder is there."""
        system, at = self._at(path)
        return bool(system.exists(at))

    def read(self, path: str) -> str | None:
        """Return a file's text, None where there is no file."""
        system, at = self._at(path)
        if not system.exists(at):
            return None
        stream = system.open(at)
        try:
            return str(self._text_of(stream, "UTF-8"))
        finally:
            stream.close()

    def write(self, path: str, text: str) -> None:
        """Write a file, in place of the one that is there."""
        system, at = self._at(path)
        stream = system.create(at, True)
        try:
            stream.write(bytearray(text.encode()))
        finally:
            stream.close()

    def names(self, folder: str) -> list[str]:
        """Return the names of the files and folders in a folder, sorted; none where there is no folder."""
        system, at = self._at(folder)
        if not system.exists(at):
            return []
        return sorted(str(status.getPath().getName()) for status in system.listStatus(at))

    def count(self, folder: str) -> int:
        """Count the files below a folder, at any depth; none where there is no folder."""
        system, at = self._at(folder)
        return int(system.getContentSummary(at).getFileCount()) if system.exists(at) else 0

    def delete(self, path: str) -> None:
        """Remove a file or a folder with what it holds; nothing happens where there is none."""
        system, at = self._at(path)
        system.delete(at, True)

    def _at(self, path: str) -> tuple[Any, Any]:
        at = self._path(path)
        root = path.partition("://")[0] + path.partition("://")[2].partition("/")[0] if "://" in path else ""
        if root not in self._systems:
            self._systems[root] = at.getFileSystem(self._settings)
        return self._systems[root], at
