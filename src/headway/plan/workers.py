"""How functions that a definition's file defines reach Spark's Python workers."""

from __future__ import annotations

import sys

from headway.pipeline import Pipeline

__all__ = ["send_by_value"]


def send_by_value(pipeline: Pipeline) -> None:
    """Have Spark send what the file of a pipeline defines to its Python workers as it is, not by name.

    The file is loaded by path, under a name that no worker could import. Called before the pipeline's
    function, as PySpark keeps what it has sent. What the file imports goes by name: workers need it installed.
    """
    from pyspark import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[pipeline.function.__module__])  # type: ignore[no-untyped-call]
