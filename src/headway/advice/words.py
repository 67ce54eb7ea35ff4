"""How advice writes amounts."""

from __future__ import annotations

__all__ = ["count", "dollars", "every", "lag", "seconds"]


def dollars(amount: float) -> str:
    """Write an amount; cents, and two digits of what is less than ten of them.

    >>> dollars(1234.5), dollars(0.0312), dollars(-2), dollars(0)
    ('$1,234.50', '$0.031', '-$2.00', '$0.00')
    """
    sign = "-" if amount < 0 else ""
    size = abs(amount)
    return f"{sign}${size:,.2f}" if size >= 0.1 or size == 0 else f"{sign}${size:.2g}"


def seconds(amount: float) -> str:
    """Write a measured span in days, hours, minutes and seconds.

    >>> seconds(0.42), seconds(8.25), seconds(75), seconds(5400), seconds(100000)
    ('0.42 s', '8.2 s', '1 min 15 s', '1 h 30 min', '1 d 3 h 46 min')
    """
    if amount < 0:
        return f"-{seconds(-amount)}"
    if amount < 1:
        return f"{amount:.2f} s"
    if amount < 60:
        return f"{amount:.1f} s"
    minutes, rest = divmod(round(amount), 60)
    hours, minutes = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")]
    return " ".join(f"{n} {unit}" for n, unit in parts if n)


def every(span: str) -> str:
    """Write a rhythm.

    >>> every("1 day"), every("15 minutes"), every("1 hour 30 minutes")
    ('every day', 'every 15 minutes', 'every 1 hour 30 minutes')
    """
    words = span.split()
    return f"every {words[1]}" if len(words) == 2 and words[0] == "1" else f"every {span}"


def lag(p50: float, p95: float) -> str:
    """Say how long after they happened records arrive.

    >>> lag(-120, 3720)
    'half arrived no later than they happened, 95 of 100 within 1 h 2 min'
    """
    half = "no later than they happened" if p50 <= 0 else f"within {seconds(p50)} of happening"
    most = "no later than that" if p95 <= 0 else f"within {seconds(p95)}"
    return f"half arrived {half}, 95 of 100 {most}"


def count(amount: float) -> str:
    """Write a number for a person.

    >>> count(12345.6), count(3.2), count(0)
    ('12,346', '3.2', '0')
    """
    return f"{amount:,.0f}" if abs(amount) >= 10 or amount == int(amount) else f"{amount:.1f}"
