"""Sources and sinks of third parties, found by entry points."""

from __future__ import annotations

from typing import Any

from headway.errors import suggestion

__all__ = ["found"]


def found(group: str, name: str, own: list[str]) -> Any:
    """Return what an installed package offers under a name.

    Args:
        group: Of entry points, such as `headway.sources`.
        name: As a definition writes it.
        own: The names that headway itself has, for the hint.

    Raises:
        AttributeError: No package offers it.
    """
    from importlib.metadata import entry_points  # it takes a third of the time of `headway --help`

    offered = {point.name: point for point in entry_points(group=group)}
    if name not in offered:
        hint = suggestion(name, [*own, *offered])
        raise AttributeError(f"there is no {name!r} in {group}, and no installed package adds it. {hint}")
    return offered[name].load()
