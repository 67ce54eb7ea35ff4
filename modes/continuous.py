"""Micro-batches as soon as there is something new."""

from headway import Mode

MODE = Mode(name="continuous", trigger="0 seconds")
