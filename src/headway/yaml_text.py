"""YAML that people write, read so that what is wrong with it can be told by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from headway.errors import ConfigError

__all__ = ["parsed"]


def parsed(text: str, file: Path) -> tuple[Any, Any]:
    """Return a text's node, which knows lines, and its value; both are None where the text is empty.

    Args:
        text: YAML; only the safe part of it.
        file: Where it stands, for messages.

    Raises:
        ConfigError: It is not YAML.
    """
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        raise ConfigError(f"not YAML: {getattr(exc, 'problem', exc)}", where=where) from None
