"""Great Expectations, imported when it is needed and with its telemetry off."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["core_types", "expectation", "gx", "words"]

_OTHER_TYPES = ("unexpected_rows_expectation",)


def gx(telemetry: bool = False) -> Any:
    """Import Great Expectations; the first call of a process takes some seconds.

    Whether it sends telemetry is read from the environment when it is imported, so only the first
    call of a process decides.
    """
    if not telemetry:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("great_expectations")
        importlib.import_module("great_expectations.expectations")
    return module


@cache
def core_types() -> tuple[str, ...]:
    """Name the expectations that Great Expectations ships, from its files' names: nothing is imported."""
    spec = find_spec("great_expectations")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "expectations" / "core"
    return (*sorted(file.stem for file in folder.glob("expect_*.py")), *_OTHER_TYPES)


def expectation(
    type_: str,
    kwargs: Mapping[str, Any],
    *,
    meta: Mapping[str, Any],
    severity: str,
    notes: str | None = None,
) -> Any:
    """Make GX's own expectation, which validates its parameters; `gx` must have been called.

    Raises:
        ValueError: From pydantic, or one of GX's own errors: a parameter is wrong.
    """
    configuration = importlib.import_module("great_expectations.expectations.expectation_configuration")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return configuration.ExpectationConfiguration(
            type=type_, kwargs=dict(kwargs), meta=dict(meta), severity=severity, notes=notes
        ).to_domain_obj()


def words(error: Exception) -> str:
    """Say in one line what GX's models object to."""
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return " ".join(str(error).split())
    found = [
        f"{'.'.join(str(part) for part in each['loc'] if part != '__root__')}: {each['msg']}".removeprefix(
            ": "
        )
        for each in errors()
    ]
    return "; ".join(dict.fromkeys(found))
