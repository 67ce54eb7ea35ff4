"""The advice as one JSON object."""

from __future__ import annotations

from headway import instant
from headway.advice.candidate import Candidate
from headway.advice.question import question
from headway.advice.recommendation import Recommendation
from headway.advice.rule import Finding

__all__ = ["facts"]


def facts(advice: Recommendation) -> dict[str, object]:
    """Return everything that the text and the page say, for programs."""
    measured = advice.measured
    return {
        "pipeline": advice.pipeline,
        "mode": None if advice.mode is None else advice.mode.name,
        "nearest": None if advice.verdict.nearest is None else advice.verdict.nearest.name,
        "because": advice.because,
        "meets_the_pace": advice.meets,
        "for": [f.id for f in advice.reasons_for],
        "against": [f.id for f in advice.reasons_against],
        "first": [{"rule": f.id, "do": f.first} for f in advice.first],
        "contradictions": [f.id for f in advice.contradictions],
        "missing": [{"question": q.key, "decides": q.decides} for q in advice.answers.missing],
        "rules": [_rule(f) for f in advice.verdict.findings],
        "modes": [_mode(mode) for mode in advice.modes],
        "steps": [
            {
                "from": step.slower.name,
                "to": step.faster.name,
                "dollars_per_day": step.dollars,
                "p95_saved_seconds": step.saved,
                "work": list(step.work),
            }
            for step in advice.steps
        ],
        "changes": [
            {"what": c.key, "if": c.what, "answers": list(c.answers), "mode": c.mode} for c in advice.changes
        ],
        "hints": list(advice.hints),
        "answers": {
            key: float(answer) if question(key).kind == "dollars" else answer
            for key, answer in advice.answers.given.items()
        },
        "measured": None
        if measured is None
        else {
            "start": measured.start,
            "end": measured.end,
            "created_at": measured.created_at,
            "records": measured.records,
            "late_share": measured.late_share,
            "arrival_lag_seconds": {"p50": measured.lag_p50, "p95": measured.lag_p95},
        },
    }


def _rule(finding: Finding) -> dict[str, object]:
    return {
        "id": finding.id,
        "effect": finding.effect,
        "answers": dict(finding.because),
        "reason": finding.reason,
        "bound": finding.bound,
        "refused": sorted(finding.refused),
        "overruled": finding.is_overruled,
        "source": finding.source,
    }


def _mode(mode: Candidate) -> dict[str, object]:
    figures = mode.measured
    return {
        "name": mode.name,
        "kind": "streaming" if mode.is_stream else "bounded",
        "step_seconds": mode.step / instant.SECOND,
        "state": mode.state,
        "why": mode.why,
        "freshness_seconds": None
        if figures is None
        else {"p50": figures.fresh_p50, "p95": figures.fresh_p95},
        "dollars_per_day": None if figures is None else figures.dollars,
        "cpu_seconds_per_day": None if figures is None else figures.cpu_seconds,
        "files_per_day": None if figures is None else figures.files,
    }
