"""The command check: what is wrong with definitions and suites, and what they will cost."""

from __future__ import annotations

from headway import instant
from headway.cli.context import Context
from headway.cli.sessions import spark_for
from headway.errors import DefinitionError
from headway.plan.analysis import Analysis, analyse, continuous_faults
from headway.run.gate import Gate
from headway.run.vetting import Vetted, notes, vet

__all__ = ["check"]


def check(context: Context, name: str | None) -> int:
    """Analyse definitions and their suites; the exit status is 2 where one breaks the law."""
    project = context.project
    chosen = [project.pipeline(name)] if name else list(project.pipelines.values())
    found: list[dict[str, object]] = []
    rows, faults = [], []
    quality = project.config.quality
    if quality.actions:
        from headway.quality import actions

        actions.parse(quality.actions, telemetry=quality.telemetry)
    with spark_for(context) as spark:
        for pipeline in chosen:
            gates: Vetted = {}
            errors: list[DefinitionError] = []
            try:
                analysis = analyse(spark, pipeline)
            except DefinitionError as exc:
                errors = [exc]
            else:
                config = project.config
                gates, errors = vet(
                    spark, pipeline, analysis, zone=config.zone, telemetry=config.quality.telemetry
                )
            if errors:
                says = [str(error) for error in errors]
                faults += [text for text in says if text not in faults]
                found.append({"pipeline": pipeline.name, "ok": False, "says": "\n".join(says)})
                continue
            stream_faults = continuous_faults(spark, pipeline, analysis)
            closed = {
                m.name: stream_faults for m in project.modes.values() if not m.is_bounded and stream_faults
            }
            open_ = [m for m in project.modes if m not in closed]
            reach = analysis.reach
            remarks = [*_notes(analysis), *notes(pipeline, gates)]
            found.append(
                {
                    "pipeline": pipeline.name,
                    "ok": True,
                    "history": instant.spell(reach.history),
                    "ahead": instant.spell(reach.ahead),
                    "modes": open_,
                    "closed": {k: list(v) for k, v in closed.items()},
                    "quality": _facts(gates[None]) if None in gates else None,
                    "sources": {n: {"quality": _facts(gate)} for n, gate in gates.items() if n is not None},
                    "notes": remarks,
                }
            )
            rows.append(
                (
                    pipeline.name,
                    instant.spell(reach.history),
                    instant.spell(reach.ahead),
                    ", ".join(open_),
                    "; ".join([*[f"{k}: {'; '.join(v)}" for k, v in closed.items()], *remarks]),
                )
            )
    lines = context.table("", ("pipeline", "history", "ahead", "open modes", "notes"), rows) if rows else []
    context.give({"pipelines": found}, [*lines, *faults])
    return 2 if faults else 0


def _notes(analysis: Analysis) -> list[str]:
    if analysis.operators.python_functions:
        return ["a Python function's body cannot be seen through: that it is pure is taken on trust"]
    return []


def _facts(gate: Gate) -> dict[str, object]:
    suite = gate.suite
    return {
        "suite": suite.name,
        "per": suite.per,
        "gate": suite.gate,
        "rules": [{"id": rule.id, "about": rule.about, "on_fail": rule.on_fail} for rule in suite.rules],
        "native": [rule.id for rule in gate.checks.native],
    }
