"""What a suite says of one unit, in Great Expectations' own form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headway.quality.suite import Rule

__all__ = ["Verdict", "result_of", "verdict_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judgement of every rule on one unit."""

    success: bool
    """Whether every rule is kept, also those that only warn: GX's meaning of it."""
    results: list[dict[str, Any]]
    """GX's ExpectationValidationResult of each rule as JSON, in the suite's order, without samples."""
    failed: tuple[str, ...]
    """Ids of the rules that are not kept."""
    fatal: tuple[str, ...]
    """Ids of those that fail the unit."""


def result_of(rule: Rule, *, success: bool, result: Mapping[str, Any]) -> dict[str, Any]:
    """Write a judgement as GX writes an ExpectationValidationResult."""
    return {
        "success": success,
        "expectation_config": {
            "type": rule.type,
            "kwargs": dict(rule.kwargs),
            "meta": dict(rule.meta),
            "severity": rule.severity,
            **rule.facts,
        },
        "result": dict(result),
        "meta": {},
        "exception_info": {
            "raised_exception": False,
            "exception_traceback": None,
            "exception_message": None,
        },
    }


def verdict_of(results: Iterable[tuple[Rule, dict[str, Any]]]) -> Verdict:
    """Gather the results of a suite's rules."""
    judged = list(results)
    failed = [rule for rule, result in judged if not result["success"]]
    return Verdict(
        success=not failed,
        results=[result for _, result in judged],
        failed=tuple(rule.id for rule in failed),
        fatal=tuple(rule.id for rule in failed if rule.on_fail == "fail"),
    )
