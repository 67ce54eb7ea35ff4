"""Who hears of a command's runs, as conf/ says: log lines, metrics, alerts."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from headway.cli.context import Context
from headway.config import EVERY, Config
from headway.errors import ConfigError, Error, suggestion
from headway.mode import Mode
from headway.pipeline import Pipeline
from headway.project import Project
from headway.telemetry import textfile
from headway.telemetry.address import Address
from headway.telemetry.endpoint import served
from headway.telemetry.events import Ended, Failed, Started
from headway.telemetry.freshness import Freshness
from headway.telemetry.lines import Lines
from headway.telemetry.metrics import Metrics
from headway.telemetry.telemetry import Telemetry
from headway.telemetry.webhook import Webhook

__all__ = ["commanded", "told"]


@contextmanager
def commanded(context: Context) -> Iterator[Telemetry]:
    """Tell of a command that runs pipelines; yields what tells of it outside of any run.

    Where log lines are objects, the error that ends the command is one too, and nothing else is printed of it.
    """
    logs = context.project.config.logs
    telemetry = Telemetry([Lines(sys.stderr, run=context.run, format=logs.format, level=logs.level)])
    try:
        yield telemetry
    except Exception as exc:
        if logs.format == "text":
            raise
        telemetry.tell(Failed(exc, traceback.format_exc() if context.verbose else None))
        sys.exit(exc.exit_status if isinstance(exc, Error) else 1)
    except KeyboardInterrupt:
        if logs.format == "text":
            raise
        sys.exit(130)


@contextmanager
def told(context: Context, pipeline: Pipeline, mode: Mode, *, ends: bool) -> Iterator[Telemetry]:
    """Tell of one run of a pipeline, from before Spark starts to its end, however it ends.

    Args:
        context: Whose project's conf/ counts.
        pipeline: What is run.
        mode: How.
        ends: It ends by itself, so its metrics go to a file; else they are served while it runs.

    Raises:
        ConfigError: conf/ names a pipeline that there is not.
    """
    project = context.project
    _check_names(project)
    conf, run = project.config, context.run
    lines = Lines(
        sys.stderr,
        run=run,
        pipeline=pipeline.name,
        mode=mode.name,
        format=conf.logs.format,
        level=conf.logs.level,
    )
    wanted = conf.metrics.textfile if ends else conf.metrics.listen
    metrics = None if wanted is None else Metrics(pipeline.name, mode.name)
    telemetry = Telemetry([lines], is_measured=metrics is not None or conf.logs.level == "debug")
    if metrics is not None:
        telemetry.add(metrics)
    began = time.monotonic()
    with ExitStack() as held:
        if metrics is not None and ends:
            held.callback(_write, project, pipeline, mode, metrics, telemetry)
        elif metrics is not None:
            _serve(conf, metrics, telemetry, held)
        if (threshold := conf.alerts.threshold(pipeline.name)) is not None:
            freshness = Freshness(pipeline.name, threshold, telemetry.tell, ends=ends)
            _post(context, pipeline, mode, telemetry, held)
            telemetry.add(freshness)
            held.enter_context(freshness.watched())
        telemetry.tell(Started(pipeline.name, mode.name))
        error: BaseException | None = None
        try:
            yield telemetry
        except BaseException as exc:
            error = exc
            raise
        finally:
            telemetry.tell(Ended(seconds=time.monotonic() - began, error=error))


def _check_names(project: Project) -> None:
    for name in project.config.alerts.freshness:
        if name != EVERY and name not in project.pipelines:
            raise ConfigError(
                f"alerts.freshness: no pipeline {name!r} in {project.root / 'pipelines'}",
                hint=suggestion(name, project.pipelines),
            )


def _serve(conf: Config, metrics: Metrics, telemetry: Telemetry, held: ExitStack) -> None:
    listen = conf.metrics.listen
    assert listen is not None
    try:
        url = held.enter_context(served(metrics, Address.parse(listen)))
    except OSError as exc:
        telemetry.warn(f"nobody can read the metrics: {listen} cannot be listened at: {exc.strerror}")
    else:
        telemetry.say(f"metrics are at {url}")


def _write(project: Project, pipeline: Pipeline, mode: Mode, metrics: Metrics, telemetry: Telemetry) -> None:
    folder = project.config.metrics.textfile
    assert folder is not None
    try:
        textfile.write(project.root / Path(folder), f"headway_{pipeline.name}_{mode.name}", metrics)
    except (OSError, ValueError) as exc:
        telemetry.warn(f"the metrics were not written to {folder}: {exc}")


def _post(context: Context, pipeline: Pipeline, mode: Mode, telemetry: Telemetry, held: ExitStack) -> None:
    """Have alerts posted, where conf/ says to whom."""
    url = context.project.config.alerts.webhook
    if url is None:
        return
    webhook = Webhook(
        url.get_secret_value(),
        run=context.run,
        pipeline=pipeline.name,
        mode=mode.name,
        say=telemetry.warn,
    )
    telemetry.add(webhook)
    held.callback(webhook.close)
