"""A mode of the project as advice sees it: how fast it steps, and whether it may be recommended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from headway import instant
from headway.advice.measured import Measured, MeasuredMode
from headway.advice.words import every
from headway.mode import Mode

__all__ = ["Candidate", "candidates"]

_BATCH = instant.SECOND
"""A stream's step at the least: a micro-batch takes tenths of a second, and a record waits for the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One mode of the project, from modes/."""

    name: str
    step: int
    """Microseconds between two renewals: the interval, or a stream's trigger, a second at the least."""
    is_stream: bool
    state: Literal["open", "closed", "unproved"]
    """Whether the pipeline is known to run in it; `unproved` where nobody has looked."""
    why: str
    """Where the state is known from."""
    measured: MeasuredMode | None = None

    @property
    def pace(self) -> str:
        """How often it renews the result, in words."""
        if self.is_stream:
            return "as soon as there is something new"
        return every(instant.spell(self.step))


def candidates(
    modes: Iterable[Mode], measured: Measured | None, checked: Mapping[str, Sequence[str]] | None
) -> tuple[Candidate, ...]:
    """Return the project's modes, the slowest first.

    Args:
        modes: Those in modes/.
        measured: A comparison of the pipeline. A mode that is not in it has not been shown to be open.
        checked: For each mode, what `headway check` says against it; nothing said means open.
    """
    found = [_candidate(mode, measured, checked) for mode in modes]
    return tuple(sorted(found, key=lambda c: (-c.step, c.is_stream, c.name)))


def _candidate(
    mode: Mode, measured: Measured | None, checked: Mapping[str, Sequence[str]] | None
) -> Candidate:
    figures = None if measured is None else measured.modes.get(mode.name)
    state, why = _state(mode.name, measured, checked)
    span = instant.duration(mode.every or mode.trigger or "0 seconds")
    return Candidate(
        name=mode.name,
        step=span if mode.is_bounded else max(span, _BATCH),
        is_stream=not mode.is_bounded,
        state=state,
        why=why,
        measured=figures,
    )


def _state(
    name: str, measured: Measured | None, checked: Mapping[str, Sequence[str]] | None
) -> tuple[Literal["open", "closed", "unproved"], str]:
    if checked is not None and checked.get(name):
        return "closed", "`headway check`: " + "; ".join(checked[name])
    if measured is not None and name in measured.modes and not measured.modes[name].agrees:
        return "closed", f"its rows differed from the other modes' in the comparison of {measured.created_at}"
    if checked is not None:
        return "open", "`headway check`"
    if measured is None:
        return "unproved", "nobody has looked"
    if name in measured.modes:
        return "open", f"ran in the comparison of {measured.created_at}"
    return "closed", f"not in the comparison of {measured.created_at}: `headway check` or a new one says it"
