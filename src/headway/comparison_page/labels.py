"""Names beside points, where they cover neither each other nor the line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["name_points"]

_PLACES = [
    (9, 5, "left", "bottom"),
    (9, -5, "left", "top"),
    (-9, 5, "right", "bottom"),
    (-9, -5, "right", "top"),
    (11, 0, "left", "center"),
    (-11, 0, "right", "center"),
    *[
        (side * 9, lift, "left" if side > 0 else "right", "bottom" if lift > 0 else "top")
        for reach in (18, 32, 50)
        for side in (1, -1)
        for lift in (reach, -reach)
    ],
]
"""Where a name may stand from its point, the best first: offset and alignment."""
_STEPS = 60


def name_points(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    words: Sequence[str],
    lines: Sequence[Sequence[tuple[float, float]]],
) -> None:
    """Write a text beside each point, at the first place near it that is free.

    Args:
        axes: With its limits and scales set.
        points: What is named.
        words: One for each.
        lines: What is drawn, as corners.
    """
    figure: Any = axes.get_figure()
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    places = axes.transData.transform(points)
    drawn = [at for line in lines for at in _along(axes.transData.transform(line))]
    taken: list[Any] = []
    for place, point, text in zip(places, points, words, strict=True):
        best: tuple[int, Any] | None = None
        for x, y, across, along in _PLACES:
            note = axes.annotate(
                text, point, xytext=(x, y), textcoords="offset points", ha=across, va=along,
                fontsize=10, linespacing=1.3, arrowprops=None,
            )  # fmt: skip
            box = note.get_window_extent(renderer)
            clashes = sum(box.overlaps(other) for other in taken) * _STEPS
            clashes += sum(bool(box.contains(*at)) for at in drawn)
            clashes += (not _is_within(box, axes.get_window_extent(renderer))) * 5 * _STEPS
            if best is None or clashes < best[0]:
                if best is not None:
                    best[1].remove()
                best = (clashes, note)
            else:
                note.remove()
            if clashes == 0:
                break
        assert best is not None, place
        taken.append(best[1].get_window_extent(renderer))


def _along(places: Any) -> Iterator[tuple[float, float]]:
    """Yield points on the line through places, close to each other."""
    for (x, y), (to_x, to_y) in pairwise(places):
        for step in range(_STEPS + 1):
            share = step / _STEPS
            yield x + share * (to_x - x), y + share * (to_y - y)


def _is_within(box: Any, frame: Any) -> bool:
    return bool(
        frame.x0 <= box.x0 and box.x1 <= frame.x1 * 1.02 and frame.y0 <= box.y0 and box.y1 <= frame.y1
    )
