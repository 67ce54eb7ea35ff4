"""Great Expectations' own actions, which tell people and programs that units have failed."""

from __future__ import annotations

import importlib
import json
import logging
import re
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any
from urllib.parse import urlsplit

from headway.errors import ConfigError
from headway.quality import gx as gx_module

__all__ = ["fire", "parse"]

_PATIENCE = 60.0
_MODULE = "great_expectations.checkpoint.actions"
_OPEN = ("type", "name", "notify_on")
_SHORTEST = 4
"""Length from which on a value may be a secret; shorter ones stand in any sentence."""
_REFUSED = re.compile(r"status code - (?!2\d\d)\d+")


def parse(actions: Sequence[Mapping[str, Any]], *, telemetry: bool = False) -> list[Any]:
    """Make GX's actions of what conf/ says under `quality.actions`.

    Called by `headway check`, and by a run only once a unit has failed: it imports GX.

    Raises:
        ConfigError: Names every fault by its key; no value is shown, as many are secrets.
    """
    gx = gx_module.gx(telemetry)
    module = importlib.import_module(_MODULE)
    registry = module._VALIDATION_ACTION_REGISTRY
    # Actions ask for the context that was made last.
    gx.get_context(mode="ephemeral")
    made, faults = [], []
    for number, conf in enumerate(actions):
        key = f"quality.actions.{number}"
        kind = conf.get("type")
        if kind == "update_data_docs":
            faults.append(f"{key}.type: `headway suite docs` makes Data Docs, a run does not")
            continue
        try:
            class_ = registry.get(kind)
        except gx.exceptions.exceptions.ValidationActionRegistryRetrievalError:
            known = ", ".join(sorted(registry._registered_actions))
            faults.append(f"{key}.type: Great Expectations has no such action; known: {known}")
            continue
        try:
            with _heard(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                action = class_(**conf)
        except (gx.exceptions.GreatExpectationsError, ValueError, TypeError, KeyError) as error:
            faults.extend(_faults(key, conf, error))
            continue
        _take_literally(action)
        if isinstance(action, module.APINotificationAction):
            # GX 1.24 hands its list to requests as a form, which requests refuses.
            object.__setattr__(action, "send_results", lambda payload, url=action.url: _post(url, payload))
        made.append(action)
    if faults:
        raise ConfigError(
            "the actions of suites are wrong:\n  " + "\n  ".join(faults),
            hint="They are written as Great Expectations 1.24 writes the actions of a checkpoint.",
        )
    return made


def fire(
    actions: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    *,
    pipeline: str,
    telemetry: bool = False,
    patience: float = _PATIENCE,
) -> list[str]:
    """Tell whom conf/ names of validation results that have failed, all in one message.

    What goes wrong never raises: the verdict counts, whether or not somebody could be told.

    Args:
        actions: As conf/ has them.
        results: As `headway.quality.validation` writes them; at least one.
        pipeline: What GX calls the checkpoint.
        telemetry: Whether GX may send telemetry.
        patience: Seconds that an action may take; one that takes longer is left behind.

    Returns:
        For each action that did not succeed, what went wrong, without what conf/ says of it.
    """
    try:
        made = parse(actions, telemetry=telemetry)
        checkpoint = _checkpoint_result(made, results, pipeline)
    except ConfigError as error:
        return [error.what]
    except Exception as error:  # noqa: BLE001 GX may raise anything, and the verdict must be told
        return [f"Great Expectations does not take the result: {type(error).__name__}"]
    said = []
    for conf, action in zip(actions, made, strict=True):
        why = _run(action, checkpoint, patience)
        if why is not None:
            said.append(f"the action {action.name!r} has told nobody: {_without_secrets(why, conf)}")
    return said


def _run(action: Any, checkpoint: Any, patience: float) -> str | None:
    """Run an action in a thread of its own, as GX's wait for servers without end; return what went wrong."""
    outcome: list[str | None] = []

    def run() -> None:
        try:
            with _heard() as heard, warnings.catch_warnings(), redirect_stdout(StringIO()):
                warnings.simplefilter("ignore")
                found = action.run(checkpoint_result=checkpoint)
        except Exception as error:  # noqa: BLE001 whatever a server or GX raises is said
            outcome.append(f"{type(error).__name__}: {error}")
            return
        values = found.values() if isinstance(found, dict) else ()
        has_failed = any(v is None or v is False or _REFUSED.search(str(v)) for v in values)
        # Actions that had nothing to tell return None, too, but complain of nothing.
        refused = next((str(v) for v in values if _REFUSED.search(str(v))), None)
        outcome.append((refused or "; ".join(heard) or None) if has_failed else None)

    thread = threading.Thread(target=run, name=f"headway-action-{action.name}", daemon=True)
    thread.start()
    thread.join(patience)
    return f"it has not ended within {patience:g} seconds" if not outcome else outcome[0]


def _checkpoint_result(actions: list[Any], results: Sequence[Mapping[str, Any]], pipeline: str) -> Any:
    """Make GX's result of a checkpoint from validation results."""
    checkpoints = importlib.import_module("great_expectations.checkpoint.checkpoint")
    schema = importlib.import_module("great_expectations.core.expectation_validation_result")
    identifiers = importlib.import_module("great_expectations.data_context.types.resource_identifiers")
    runs = importlib.import_module("great_expectations.core.run_identifier")
    by_key = {}
    for result in results:
        plain = json.loads(json.dumps(result, default=str))
        loaded = schema.expectationSuiteValidationResultSchema.load(plain)
        run = runs.RunIdentifier(**loaded.meta["run_id"])
        asset = loaded.meta["batch_spec"]["data_asset_name"]
        loaded.batch_id = f"{asset}, {loaded.meta['batch_parameters']['unit']}"
        suite = identifiers.ExpectationSuiteIdentifier(name=loaded.suite_name)
        by_key[identifiers.ValidationResultIdentifier(suite, run, loaded.batch_id)] = loaded
    return checkpoints.CheckpointResult(
        run_id=next(iter(by_key)).run_id,
        run_results=by_key,
        checkpoint_config=checkpoints.Checkpoint(name=pipeline, validation_definitions=[], actions=actions),
    )


def _take_literally(action: Any) -> None:
    """Keep GX from looking for variables in what conf/ has resolved: a password may hold a dollar."""
    template = importlib.import_module("great_expectations.datasource.fluent.config_str").ConfigStr
    for key, value in dict(vars(action)).items():
        if isinstance(value, template):
            setattr(action, key, value.template_str)


def _post(url: str, payload: Any) -> Any:
    requests = importlib.import_module("requests")
    return requests.post(url, json=payload, timeout=_PATIENCE)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect what GX's actions log: it may hold secrets, so it goes nowhere else."""
    told: list[str] = []

    class _Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    logger, handler = logging.getLogger(_MODULE), _Listening(logging.WARNING)
    before = logger.propagate
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield told
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def _faults(key: str, conf: Mapping[str, Any], error: Exception) -> list[str]:
    """Say what GX's models object to, by key, without the values."""
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return [f"{key}: {_without_secrets(f'{type(error).__name__}: {error}', conf)}"]
    found = []
    for each in errors():
        below = [str(part) for part in each["loc"] if part != "__root__"]
        found.append(f"{'.'.join([key, *below])}: {_without_secrets(each['msg'], conf)}")
    return list(dict.fromkeys(found))


def _without_secrets(text: str, conf: Mapping[str, Any]) -> str:
    """Leave out every value of an action's configuration, and the parts of those that are URLs."""
    for secret in sorted(set(_values(conf)), key=len, reverse=True):
        text = text.replace(secret, "***")
    return " ".join(text.split())


def _values(conf: Mapping[str, Any]) -> Iterator[str]:
    for key, value in conf.items():
        if key in _OPEN or not isinstance(value, str) or len(value) < _SHORTEST:
            continue
        yield value
        url = urlsplit(value)
        if url.scheme:
            parts = (url.path, url.query, url.password or "", url.username or "")
            yield from (part for part in parts if len(part) >= _SHORTEST)
