"""A suite of Great Expectations, as headway reads it: rules, what they do on failure, the unit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from headway import instant
from headway.errors import DefinitionError, UsageError, suggestion
from headway.quality import gx as gx_module
from headway.quality import kinds
from headway.quality.faults import Fault, refuse
from headway.quality.region import Region, expectations

__all__ = ["OnFail", "Rule", "Suite", "examine", "load", "read", "validate"]

OnFail = Literal["warn", "drop", "quarantine", "fail"]
Gate = Literal["hold", "mark"]

_ON_FAIL: tuple[str, ...] = get_args(OnFail)
_GATES: tuple[str, ...] = get_args(Gate)
_PER = "1 day"
_SEVERITIES = ("critical", "warning", "info")
_RULE_META = ("on_fail", "rule")
_SUITE_META = ("per", "gate")
_SUITE_KEYS = frozenset(
    {"name", "id", "expectations", "meta", "notes", "suite_parameters", "data_asset_type"}
)
_RULE_KEYS = frozenset(
    {
        "type",
        "kwargs",
        "meta",
        "id",
        "notes",
        "description",
        "severity",
        "rendered_content",
        "expectation_context",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One expectation of a suite."""

    id: str
    """What people call it: unique in the suite; `meta.rule`, else made of the type and its columns."""

    type: str
    """What GX calls it: `expect_...`."""

    kwargs: Mapping[str, Any]
    """Its parameters as the JSON file has them."""

    on_fail: OnFail
    about: Literal["row", "set"]
    is_compiled: bool
    """Whether headway compiles it; otherwise GX's own engine runs it over each unit."""

    severity: str
    meta: Mapping[str, Any]
    line: int | None = None
    """Line of the suite's file where it begins, from 1."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else GX keeps of an expectation and shows: id, notes, description."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The rules of one dataset and the unit that its set rules judge."""

    name: str
    file: Path
    rules: tuple[Rule, ...]
    per: str = _PER
    """The unit's length, as `headway.instant.duration` reads it."""
    gate: Gate = "hold"
    """`hold` publishes a unit only once judged; `mark` publishes first and marks."""

    def facts(self) -> dict[str, Any]:
        """Return everything that verdicts and the split of rows depend on, for a fingerprint; JSON-able."""
        return {
            "name": self.name,
            "per": self.per,
            "gate": self.gate,
            "rules": [
                {
                    "id": rule.id,
                    "type": rule.type,
                    "kwargs": dict(rule.kwargs),
                    "on_fail": rule.on_fail,
                    "severity": rule.severity,
                }
                for rule in self.rules
            ],
        }

    def rule(self, rule_id: str) -> Rule:
        """Return a rule by its id."""
        return next(rule for rule in self.rules if rule.id == rule_id)


def read(file: Path) -> Suite:
    """Read a suite without importing GX: structure, parameters of what is compiled, headway's meta.

    Called by every run. What it accepts, `validate` may still refuse.

    Raises:
        DefinitionError: Names every fault with file, line and rule.
    """
    suite, faults = _read(file)
    refuse(file, faults)
    return suite


def validate(suite: Suite, *, telemetry: bool = False) -> None:
    """Let GX's own models validate each expectation; the first call of a process takes seconds.

    Called by `check` and by the first run of a suite.

    Raises:
        DefinitionError: Names every fault with file, line and rule.
    """
    refuse(suite.file, _validate(suite, telemetry))


def load(file: Path, *, telemetry: bool = False) -> Suite:
    """Read and validate a suite; all faults of both are told at once.

    Raises:
        DefinitionError: Names every fault with file, line and rule.
    """
    suite, faults = examine(file, telemetry=telemetry)
    refuse(file, faults)
    return suite


def examine(file: Path, *, telemetry: bool = False) -> tuple[Suite, list[Fault]]:
    """Read and validate a suite, and return what is wrong with it beside the suite.

    Rules that have a fault are in the suite as far as they could be read.

    Raises:
        DefinitionError: The file cannot be read, or holds no suite.
    """
    suite, faults = _read(file)
    told = {fault.rule for fault in faults}
    return suite, faults + [fault for fault in _validate(suite, telemetry) if fault.rule not in told]


def _validate(suite: Suite, telemetry: bool) -> list[Fault]:
    gx = gx_module.gx(telemetry)
    faults = []
    for rule in suite.rules:
        try:
            gx_module.expectation(rule.type, rule.kwargs, meta=rule.meta, severity=rule.severity)
        except gx.exceptions.ExpectationNotFoundError:
            faults.append(_unknown(rule.type, rule.id, rule.line))
        except (gx.exceptions.GreatExpectationsError, ValueError, TypeError) as error:
            faults.append(
                Fault(f"Great Expectations refuses it: {gx_module.words(error)}", rule.id, rule.line)
            )
    return faults


def _read(file: Path) -> tuple[Suite, list[Fault]]:
    """Return the suite as far as it can be read, and what is wrong with it."""
    try:
        text = file.read_text()
    except OSError as error:
        raise DefinitionError(
            f"the suite cannot be read: {error.strerror}",
            where=str(file),
            hint=f"A pipeline or a source names it with quality={file.stem!r}; `headway suite new` proposes a first one.",
        ) from error
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        raise DefinitionError(f"no JSON: {error.msg}", where=f"{file}:{error.lineno}") from error
    if not isinstance(whole, dict) or not isinstance(whole.get("expectations"), list):
        raise DefinitionError(
            "no suite: an object with a list of expectations is needed",
            where=str(file),
            hint="Write the suite with Great Expectations, or with `headway suite new`.",
        )
    whole_text = Region(text, 0, len(text))
    faults = [
        Fault(f"unknown key {key!r}", line=whole_text.line_of(key), hint=suggestion(key, _SUITE_KEYS))
        for key in whole
        if key not in _SUITE_KEYS
    ]
    name = whole.get("name")
    if not isinstance(name, str) or not name:
        faults.append(Fault("the suite has no name"))
    meta = _meta(whole.get("meta"), _SUITE_META, None, whole_text, faults)
    per, gate = meta.get("per", _PER), meta.get("gate", "hold")
    try:
        if instant.duration(str(per)) <= 0:
            faults.append(Fault("meta.per: a unit of no length", line=whole_text.line_of("per")))
            per = _PER
    except UsageError as error:
        faults.append(Fault(f"meta.per: {error.what}", line=whole_text.line_of("per"), hint=error.hint))
        per = _PER
    if gate not in _GATES:
        faults.append(
            Fault(
                f"meta.gate: {gate!r} is unknown",
                line=whole_text.line_of("gate"),
                hint=suggestion(str(gate), _GATES),
            )
        )
    rules: list[Rule] = []
    for facts, region in zip(whole["expectations"], expectations(text), strict=True):
        if (rule := _rule(facts, region, rules, faults)) is not None:
            rules.append(rule)
    suite = Suite(name=str(name), file=file, rules=tuple(rules), per=str(per), gate=gate)
    return suite, faults


def _rule(facts: Any, region: Region, before: list[Rule], faults: list[Fault]) -> Rule | None:
    """Read one expectation; what is wrong with it is added to the faults."""
    line = region.line
    if not isinstance(facts, dict) or not isinstance(facts.get("type"), str):
        faults.append(Fault("an expectation needs a type", line=line))
        return None
    type_, kwargs = facts["type"], facts.get("kwargs") or {}
    if not isinstance(kwargs, dict):
        faults.append(Fault("kwargs must be an object", type_, line))
        return None
    own: list[Fault] = []
    meta = _meta(facts.get("meta"), _RULE_META, type_, region, own)
    rule_id = meta.get("rule", _name(type_, kwargs))
    if not isinstance(rule_id, str) or not rule_id:
        own.append(Fault("meta.rule must be a text", line=region.line_of("rule")))
        rule_id = _name(type_, kwargs)
    taken = Counter(rule.id for rule in before)
    if rule_id in taken:
        if "rule" in meta:
            own.append(Fault("another rule of the suite has this name", line=region.line_of("rule")))
        number = 2
        while f"{rule_id}#{number}" in taken:
            number += 1
        rule_id = f"{rule_id}#{number}"
    own += [
        Fault(f"unknown key {key!r}", line=region.line_of(key), hint=suggestion(key, _RULE_KEYS))
        for key in facts
        if key not in _RULE_KEYS
    ]
    kind = kinds.KINDS.get(type_)
    is_compiled = kinds.can_compile(type_, kwargs)
    if kind is None and type_ not in gx_module.core_types():
        own.append(_unknown(type_, None, region.line_of("type")))
    elif is_compiled:
        own += [
            Fault(what, line=region.line_of(key), hint=_hint(type_, key))
            for key, what in kinds.faults_of(type_, kwargs)
        ]
    about = kind.about if kind is not None and is_compiled else "set"
    severity = facts.get("severity") or "critical"
    if severity not in _SEVERITIES:
        own.append(
            Fault(
                f"severity {severity!r} is unknown",
                line=region.line_of("severity"),
                hint=suggestion(str(severity), _SEVERITIES),
            )
        )
    on_fail = meta.get("on_fail", _default(about, str(severity)))
    if on_fail not in _ON_FAIL:
        own.append(
            Fault(
                f"meta.on_fail: {on_fail!r} is unknown",
                line=region.line_of("on_fail"),
                hint=suggestion(str(on_fail), _ON_FAIL),
            )
        )
    elif on_fail in {"drop", "quarantine"} and about != "row":
        why = (
            "a rule about a set of rows cannot be broken by one row"
            if is_compiled
            else "Great Expectations' own engine runs it over a whole unit"
        )
        own.append(
            Fault(
                f"meta.on_fail: {on_fail!r} is not possible: {why}",
                line=region.line_of("on_fail"),
                hint="Choose warn or fail.",
            )
        )
    faults += [Fault(f.what, rule_id, f.line or line, f.hint) for f in own]
    return Rule(
        id=rule_id,
        type=type_,
        kwargs=kwargs,
        on_fail=on_fail,
        about=about,
        is_compiled=is_compiled,
        severity=str(severity),
        meta=meta,
        line=line,
        facts={key: facts[key] for key in ("id", "notes", "description") if facts.get(key) is not None},
    )


def _default(about: str, severity: str) -> str:
    if severity in {"warning", "info"}:
        return "warn"
    return "quarantine" if about == "row" else "fail"


def _name(type_: str, kwargs: Mapping[str, Any]) -> str:
    """Name a rule by its type and columns.

    >>> _name("expect_column_values_to_not_be_null", {"column": "origin"})
    'column_values_to_not_be_null(origin)'
    >>> _name("expect_table_row_count_to_be_between", {"min_value": 1})
    'table_row_count_to_be_between'
    """
    short = type_.removeprefix("expect_")
    columns = ", ".join(kinds.columns_of(type_, kwargs))
    if len(columns) > 60:
        columns = columns[:57] + "..."
    return f"{short}({columns})" if columns else short


def _meta(
    value: Any, own: tuple[str, ...], rule: str | None, region: Region, faults: list[Fault]
) -> dict[str, Any]:
    """Read a meta: anybody may keep facts there, but what looks like a slip in ours is refused."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        faults.append(Fault("meta must be an object", rule, region.line_of("meta")))
        return {}
    for key in value:
        near = [] if key in own else get_close_matches(key.lower().replace("-", "_"), own, n=1, cutoff=0.75)
        if near:
            faults.append(
                Fault(
                    f"unknown key {key!r} in meta",
                    rule,
                    region.line_of(key),
                    f"Did you mean {near[0]!r}?",
                )
            )
    return value


def _unknown(type_: str, rule: str | None, line: int | None) -> Fault:
    known = gx_module.core_types()
    near = get_close_matches(type_, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "Great Expectations 1.24 has no such expectation."
    return Fault(f"unknown expectation {type_!r}", rule, line, hint)


def _hint(type_: str, key: str) -> str | None:
    known = kinds.are_known(kinds.KINDS[type_])
    return None if key in known else suggestion(key, kinds.KINDS[type_].parameters)
