"""A unit's verdict as Great Expectations keeps it: a whole ExpectationSuiteValidationResult, made without importing GX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from headway import instant
from headway.interval import Interval
from headway.quality.suite import Suite
from headway.quality.verdict import Verdict

__all__ = ["unit_name", "validation_result"]


def validation_result(
    verdict: Verdict,
    suite: Suite,
    *,
    pipeline: str,
    source: str | None,
    unit: Interval,
    judged_at: int,
    samples: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> dict[str, Any]:
    """Write a verdict as GX writes the result of a suite.

    Args:
        verdict: What the suite has said; values that nobody may see are left out already.
        suite: What it was judged by.
        pipeline: Whose run has judged.
        source: Parameter name of the source that was judged; None for the pipeline's result.
        unit: What was judged.
        judged_at: When, in microseconds since the epoch.
        samples: By rule: some rows that break it, as people may see them.
    """
    kept = sum(result["success"] for result in verdict.results)
    count = len(verdict.results)
    subject = "result" if source is None else f"source {source}"
    asset = f"{subject} of {pipeline}"
    run_name = f"{pipeline if source is None else f'{pipeline}, {subject}'}, {unit_name(unit)}"
    moment = instant.iso(judged_at)
    names = {"unit": unit_name(unit)}
    facts = {
        "pipeline": pipeline,
        "subject": subject,
        "unit_start": instant.iso(unit.start),
        "unit_end": instant.iso(unit.end),
    }
    return {
        "success": verdict.success,
        "results": [
            _with_samples(result, (samples or {}).get(rule.id, ()))
            for rule, result in zip(suite.rules, verdict.results, strict=True)
        ],
        "suite_name": suite.name,
        "suite_parameters": {},
        "statistics": {
            "evaluated_expectations": count,
            "successful_expectations": kept,
            "unsuccessful_expectations": count - kept,
            "success_percent": 100 * kept / count if count else None,
        },
        "meta": {
            "great_expectations_version": version("great_expectations"),
            "checkpoint_id": None,
            "checkpoint_name": pipeline,
            "validation_id": None,
            "validation_time": moment,
            "run_id": {"run_name": run_name, "run_time": moment},
            "batch_parameters": names,
            "batch_spec": {"data_asset_name": asset, **facts},
            "batch_markers": {},
            "active_batch_definition": {
                "datasource_name": "headway",
                "data_connector_name": "headway",
                "data_asset_name": asset,
                "batch_identifiers": names,
            },
        },
        "id": None,
    }


def unit_name(unit: Interval) -> str:
    """Name a unit so that any file system takes it.

    >>> unit_name(Interval(instant.parse("2013-02-01"), instant.parse("2013-02-02")))
    '2013-02-01T000000Z..2013-02-02T000000Z'
    """
    return f"{instant.iso(unit.start)}..{instant.iso(unit.end)}".replace(":", "")


def _with_samples(result: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add the values of sample rows, where GX keeps some of an expectation about single rows."""
    kwargs, found = result["expectation_config"]["kwargs"], result["result"]
    if not rows or "unexpected_count" not in found:
        return result
    names = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    names = names or kwargs.get("column_list", [])
    if not names or not all(name in row for row in rows for name in names):
        return result
    if "column" in kwargs:
        values: list[Any] = [row[names[0]] for row in rows]
    elif "column_A" in kwargs:
        values = [[row[name] for name in names] for row in rows]
    else:
        values = [{name: row[name] for name in names} for row in rows]
    return {**result, "result": {**found, "partial_unexpected_list": values}}
